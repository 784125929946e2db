//! The story of the demo, told by a program: what each step should show, and what it saw.
//!
//! Owns: the steps and their judgement. Never: a look inside the balancer; it is a client, and the
//! one thing that it does as an operator goes through [`Operator`]. Tested against stand-ins that do
//! what they should, and against ones that do not.

use std::fmt::Display;
use std::future::Future;
use std::io::{self, Write};

use tokio::task::JoinSet;

use super::client::{Connection, Jar, Place, Response};

/// Visits that must alternate.
const ALTERNATING_VISITS: usize = 6;
/// Requests on one connection, and then connections of one request each, that must keep the session.
const KEPT_REQUESTS: u64 = 50;
/// Connections that use one session at the same time, and requests on each.
const CONCURRENT_CONNECTIONS: u64 = 8;
const CONCURRENT_REQUESTS: u64 = 10;
/// Further visitors, each with a session of its own, and visits of each.
const OTHER_VISITORS: usize = 20;
const OTHER_VISITS: u64 = 5;

/// What the operator can do with the running balancer.
pub trait Operator {
    /// Enables the stickiness of the demo's target group.
    ///
    /// # Errors
    /// What the balancer said against it.
    fn enable_stickiness(&self) -> Result<(), String>;
}

/// What a step saw: as told, or not.
pub type Seen = Result<String, String>;

/// A story that is told step by step.
pub trait Story {
    /// What each step should show.
    const TITLES: &'static [&'static str];

    /// Performs one of them.
    fn step(&mut self, number: usize, operator: &dyn Operator) -> impl Future<Output = Seen>;
}

/// Performs a story and prints it. `true` when every step was as told; the first one that was not is
/// the last one performed.
///
/// # Errors
/// When `out` cannot be written.
pub async fn perform<S: Story>(
    mut story: S,
    operator: &dyn Operator,
    out: &mut dyn Write,
) -> io::Result<bool> {
    let mut told = true;
    for (number, title) in S::TITLES.iter().enumerate() {
        if told {
            writeln!(out, "\n{}. {title}", number + 1)?;
            let seen = story.step(number, operator).await;
            told = seen.is_ok();
            let (sign, text) = match &seen {
                Ok(text) => ("✓", text),
                Err(text) => ("✗", text),
            };
            writeln!(out, "   {sign} {text}")?;
            out.flush()?;
        }
    }
    let verdict = if told { "Every step was as told." } else { "This step was not as told." };
    writeln!(out, "\n{verdict}")?;
    Ok(told)
}

const TITLES: [&str; 9] = [
    "Without stickiness, visits alternate between the instances",
    "Ada logs in: an instance creates her session in its own memory",
    "The next request reaches the other instance, and the session is lost",
    "The operator enables stickiness on the running balancer",
    "A connection that was open and idle before serves on: nothing was restarted",
    "Ada logs in again, and the balancer adds a cookie of its own",
    "The session is kept over many requests on one connection",
    "The session is kept over new connections, one after another and at the same time",
    "Other visitors are still spread over the instances, and each stays where it began",
];

/// The story of pages that know their visitor by a cookie, and what it remembers from one step to the next.
pub struct Pages {
    place: Place,
    /// Ada's browser.
    jar: Jar,
    /// The instance that created Ada's latest session.
    holder: String,
    /// A connection that is opened before the edit and used after it.
    idle: Option<Connection>,
}

impl Story for Pages {
    const TITLES: &'static [&'static str] = &TITLES;

    async fn step(&mut self, number: usize, operator: &dyn Operator) -> Seen {
        match number {
            0 => self.visits_alternate().await,
            1 => self.log_in().await,
            2 => self.session_is_lost().await,
            3 => self.enable(operator).await,
            4 => self.idle_connection_serves().await,
            5 => self.log_in_sticky().await,
            6 => self.kept_on_one_connection().await,
            7 => self.kept_on_new_connections().await,
            _ => self.others_are_spread().await,
        }
    }
}

impl Pages {
    /// Behind the balancer at this place.
    pub fn at(place: Place) -> Pages {
        Pages { place, jar: Jar::default(), holder: String::new(), idle: None }
    }

    async fn visits_alternate(&mut self) -> Seen {
        let mut answered_by = Vec::new();
        for _ in 0..ALTERNATING_VISITS {
            answered_by.push(self.visit_anew(&mut Jar::default()).await?.instance);
        }
        let order = answered_by.join(" ");
        let later = answered_by.iter().skip(1);
        if answered_by.iter().zip(later).any(|(one, next)| one == next) {
            return Err(format!("{ALTERNATING_VISITS} visits did not alternate: {order}"));
        }
        Ok(format!("{ALTERNATING_VISITS} visits were answered by {order}"))
    }

    async fn log_in(&mut self) -> Seen {
        let mut connection = self.connect().await?;
        let response = connection.log_in("Ada", &mut self.jar).await.map_err(failed)?;
        expect(&response, "Welcome, Ada.")?;
        self.holder = response.instance;
        let cookies: Vec<&str> = self.jar.names().collect();
        Ok(format!("instance {} created it; cookies: {}", self.holder, cookies.join(", ")))
    }

    async fn session_is_lost(&mut self) -> Seen {
        let mut jar = self.jar.clone();
        let response = self.visit_anew(&mut jar).await?;
        if response.instance == self.holder {
            return Err(format!("instance {} answered again", response.instance));
        }
        expect(&response, "log in again")?;
        Ok(format!("instance {} answered: {}", response.instance, response.body.trim()))
    }

    async fn enable(&mut self, operator: &dyn Operator) -> Seen {
        let mut connection = self.connect().await?;
        let response = connection.visit(&mut Jar::default()).await.map_err(failed)?;
        expect(&response, "not logged in")?;
        self.idle = Some(connection);
        operator.enable_stickiness()?;
        Ok("the target group's stickiness is enabled".to_owned())
    }

    async fn idle_connection_serves(&mut self) -> Seen {
        let Some(mut connection) = self.idle.take() else {
            return Err("there is no connection from before".to_owned());
        };
        let response = connection.visit(&mut Jar::default()).await.map_err(failed)?;
        expect(&response, "not logged in")?;
        Ok(format!("instance {} answered on it", response.instance))
    }

    async fn log_in_sticky(&mut self) -> Seen {
        let before: Vec<String> = self.jar.names().map(str::to_owned).collect();
        self.log_in().await?;
        let added: Vec<&str> =
            self.jar.names().filter(|name| !before.iter().any(|old| old == name)).collect();
        if added.is_empty() {
            return Err("no cookie was added to the application's own".to_owned());
        }
        Ok(format!("instance {} created it; cookie added: {}", self.holder, added.join(", ")))
    }

    async fn kept_on_one_connection(&mut self) -> Seen {
        let mut connection = self.connect().await?;
        // The page counts the request that created the session as the first visit.
        for visit in 2..2 + KEPT_REQUESTS {
            let response = connection.visit(&mut self.jar).await.map_err(failed)?;
            expect_kept(&response, &self.holder, "Ada", Some(visit))?;
        }
        Ok(format!("{KEPT_REQUESTS} requests: all answered by {}, session known", self.holder))
    }

    async fn kept_on_new_connections(&mut self) -> Seen {
        for visit in 2 + KEPT_REQUESTS..2 + 2 * KEPT_REQUESTS {
            let response = self.connect().await?.visit(&mut self.jar).await.map_err(failed)?;
            expect_kept(&response, &self.holder, "Ada", Some(visit))?;
        }
        let mut clients = JoinSet::new();
        for _ in 0..CONCURRENT_CONNECTIONS {
            let (place, jar, holder) = (self.place.clone(), self.jar.clone(), self.holder.clone());
            clients.spawn(visit_kept(place, jar, holder, "Ada".to_owned(), CONCURRENT_REQUESTS));
        }
        while let Some(client) = clients.join_next().await {
            client.map_err(failed)??;
        }
        Ok(format!(
            "{KEPT_REQUESTS} new connections, then {CONCURRENT_CONNECTIONS} at once with \
             {CONCURRENT_REQUESTS} requests each: all answered by {}, session known",
            self.holder
        ))
    }

    async fn others_are_spread(&mut self) -> Seen {
        let mut visitors = JoinSet::new();
        for number in 0..OTHER_VISITORS {
            visitors.spawn(visitor(self.place.clone(), format!("Visitor{number}")));
        }
        let mut holders = Vec::new();
        while let Some(visitor) = visitors.join_next().await {
            holders.push(visitor.map_err(failed)??);
        }
        holders.sort_unstable();
        let mut counts: Vec<String> = Vec::new();
        for group in holders.chunk_by(|left, right| left == right) {
            counts.extend(group.first().map(|holder| format!("{} on {holder}", group.len())));
        }
        if counts.len() < 2 {
            return Err(format!(
                "{OTHER_VISITORS} visitors were not spread: {}",
                counts.join(", ")
            ));
        }
        Ok(format!(
            "{OTHER_VISITORS} visitors, {OTHER_VISITS} visits each: {}, each session kept",
            counts.join(", ")
        ))
    }

    async fn connect(&self) -> Result<Connection, String> {
        Connection::open(&self.place).await.map_err(failed)
    }

    async fn visit_anew(&self, jar: &mut Jar) -> Result<Response, String> {
        let response = self.connect().await?.visit(jar).await.map_err(failed)?;
        expect(&response, "instance")?;
        Ok(response)
    }
}

/// One visitor's session from its creation on; returns the instance that held it throughout.
async fn visitor(place: Place, name: String) -> Result<String, String> {
    let mut jar = Jar::default();
    let mut connection = Connection::open(&place).await.map_err(failed)?;
    let created = connection.log_in(&name, &mut jar).await.map_err(failed)?;
    expect(&created, &format!("Welcome, {name}."))?;
    visit_kept(place, jar, created.instance.clone(), name, OTHER_VISITS).await?;
    Ok(created.instance)
}

/// Visits on a new connection, each of which must be answered by `holder`, who knows the session.
async fn visit_kept(
    place: Place,
    mut jar: Jar,
    holder: String,
    name: String,
    visits: u64,
) -> Result<(), String> {
    let mut connection = Connection::open(&place).await.map_err(failed)?;
    for _ in 0..visits {
        let response = connection.visit(&mut jar).await.map_err(failed)?;
        expect_kept(&response, &holder, &name, None)?;
    }
    Ok(())
}

/// The response is the page of an instance, and says `phrase`.
fn expect(response: &Response, phrase: &str) -> Result<(), String> {
    if response.status == 200 && !response.instance.is_empty() && response.body.contains(phrase) {
        return Ok(());
    }
    Err(format!(
        "expected a page that says {phrase:?}, saw status {} from instance {:?}: {}",
        response.status,
        response.instance,
        response.body.trim()
    ))
}

/// The session is known to the instance that created it, and no visit was missed or counted twice.
fn expect_kept(
    response: &Response,
    holder: &str,
    name: &str,
    visit: Option<u64>,
) -> Result<(), String> {
    if response.instance != holder {
        let (other, said) = (&response.instance, response.body.trim());
        return Err(format!("instance {other:?} answered instead of {holder}: {said}"));
    }
    expect(response, &format!("Hello again, {name}."))?;
    match visit {
        Some(visit) => expect(response, &format!("visit {visit}.")),
        None => Ok(()),
    }
}

pub fn failed(error: impl Display) -> String {
    error.to_string()
}

#[cfg(test)]
#[path = "walkthrough_tests.rs"]
mod tests;
