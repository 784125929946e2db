//! The story of the demo for agents, who keep no cookies: a session of the protocol is lost, and kept.
//!
//! Owns: the steps and their judgement. Never: a look inside the balancer; it is a client of the protocol.
//! Tested by `tests/demo.rs`, as a user runs it.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ACCEPT, CONTENT_TYPE};
use hyper::{Method, Request};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::super::client::{ClientError, Connection, Place};
use super::super::walkthrough::{Operator, Seen, Story, failed};
use super::{LATEST, PATH, SESSION_FIELD};

/// Calls on one connection, and then connections of one call each, that must keep the session.
const KEPT_CALLS: u64 = 50;
/// Further agents, each with a session of its own, and calls of each.
const OTHER_AGENTS: usize = 20;
const OTHER_CALLS: u64 = 5;

const TITLES: [&str; 8] = [
    "Without stickiness: an agent begins a session, which an instance keeps in its own memory",
    "The next call reaches the other instance, and the session is not found",
    "The operator enables stickiness by the session's field on the running balancer",
    "A connection that was open and idle before serves on: nothing was restarted",
    "The agent begins anew, and the balancer seals the instance into the session's id",
    "The session counts on over many calls on one connection, and over new connections",
    "Other agents are still spread over the instances, and each stays where it began",
    "DELETE ends the session: the next call is told that it is not found",
];

/// What the story remembers from one step to the next.
pub struct Agents {
    place: Place,
    agent: Agent,
    /// A connection that is opened before the edit and used after it.
    idle: Option<Connection>,
}

impl Agents {
    /// Behind the balancer at this place.
    pub fn at(place: Place) -> Agents {
        Agents { place, agent: Agent::default(), idle: None }
    }

    async fn connect(&self) -> Result<Connection, String> {
        Connection::open(&self.place).await.map_err(failed)
    }

    async fn begin(&mut self) -> Seen {
        self.agent = Agent::begin(&mut self.connect().await?).await?;
        let Agent { holder, session, .. } = &self.agent;
        Ok(format!("instance {holder} made it: {session}"))
    }

    async fn is_lost(&mut self) -> Seen {
        let answer = self.agent.ask(&mut self.connect().await?, &call()).await.map_err(failed)?;
        match answer.status {
            404 => Ok(format!("404, {}", answer.message())),
            _ => Err(format!("expected 404, saw {}", answer.shown())),
        }
    }

    async fn enable(&mut self, operator: &dyn Operator) -> Seen {
        let mut connection = self.connect().await?;
        Agent::begin(&mut connection).await?;
        self.idle = Some(connection);
        operator.enable_stickiness()?;
        Ok("the target group's stickiness, of the type app_header, is enabled".to_owned())
    }

    async fn idle_connection_serves(&mut self) -> Seen {
        let Some(mut connection) = self.idle.take() else {
            return Err("there is no connection from before".to_owned());
        };
        let agent = Agent::begin(&mut connection).await?;
        Ok(format!("instance {} answered on it", agent.holder))
    }

    async fn begin_sealed(&mut self) -> Seen {
        let bare = self.agent.session.len();
        let seen = self.begin().await?;
        match self.agent.session.split_once('.') {
            Some((id, _)) if id.len() == bare => Ok(seen),
            _ => Err(format!("the session's id has no seal: {}", self.agent.session)),
        }
    }

    async fn is_kept(&mut self) -> Seen {
        let mut connection = self.connect().await?;
        for _ in 0..KEPT_CALLS {
            self.agent.count(&mut connection).await?;
        }
        for _ in 0..KEPT_CALLS {
            let mut connection = self.connect().await?;
            self.agent.count(&mut connection).await?;
        }
        let Agent { holder, calls, .. } = &self.agent;
        Ok(format!("{calls} calls: all answered by {holder}, the count went up with each"))
    }

    async fn others_are_spread(&mut self) -> Seen {
        let mut agents = JoinSet::new();
        for _ in 0..OTHER_AGENTS {
            agents.spawn(other_agent(self.place.clone()));
        }
        let mut holders = Vec::new();
        while let Some(holder) = agents.join_next().await {
            holders.push(holder.map_err(failed)??);
        }
        holders.sort_unstable();
        let groups = holders.chunk_by(|left, right| left == right);
        let counts: Vec<String> = groups
            .filter_map(|group| Some(format!("{} on {}", group.len(), group.first()?)))
            .collect();
        let counts_text = counts.join(", ");
        if counts.len() < 2 {
            return Err(format!("{OTHER_AGENTS} agents were not spread: {counts_text}"));
        }
        Ok(format!(
            "{OTHER_AGENTS} agents, {OTHER_CALLS} calls each: {counts_text}, each session kept"
        ))
    }

    async fn end(&mut self) -> Seen {
        let mut connection = self.connect().await?;
        let ended = self.agent.send(&mut connection, Method::DELETE, "").await.map_err(failed)?;
        if ended.status != 204 {
            return Err(format!("expected 204, saw {}", ended.shown()));
        }
        self.is_lost().await
    }
}

impl Story for Agents {
    const TITLES: &'static [&'static str] = &TITLES;

    async fn step(&mut self, number: usize, operator: &dyn Operator) -> Seen {
        match number {
            0 => self.begin().await,
            1 => self.is_lost().await,
            2 => self.enable(operator).await,
            3 => self.idle_connection_serves().await,
            4 => self.begin_sealed().await,
            5 => self.is_kept().await,
            6 => self.others_are_spread().await,
            _ => self.end().await,
        }
    }
}

/// One agent's session from its beginning on; returns the instance that held it throughout.
async fn other_agent(place: Place) -> Result<String, String> {
    let mut connection = Connection::open(&place).await.map_err(failed)?;
    let mut agent = Agent::begin(&mut connection).await?;
    for _ in 0..OTHER_CALLS {
        agent.count(&mut connection).await?;
    }
    Ok(agent.holder)
}

/// A client of the protocol.
#[derive(Debug, Default)]
struct Agent {
    /// The value of the session's field, as it was handed out.
    session: String,
    /// The instance that made the session.
    holder: String,
    calls: u64,
}

/// What came back.
struct Answer {
    status: u16,
    session: Option<String>,
    content: Value,
}

impl Answer {
    fn text(&self, pointer: &str) -> &str {
        self.content.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// The words of an error.
    fn message(&self) -> &str {
        self.text("/error/message")
    }

    fn shown(&self) -> String {
        format!("status {}: {}", self.status, self.content)
    }
}

impl Agent {
    async fn begin(connection: &mut Connection) -> Result<Agent, String> {
        let initialize = json!({
            "jsonrpc": "2.0", "id": 1, "method": "initialize",
            "params": {
                "protocolVersion": LATEST,
                "capabilities": {},
                "clientInfo": { "name": "walk-through", "version": env!("CARGO_PKG_VERSION") },
            },
        });
        let mut agent = Agent::default();
        let answer = agent.ask(connection, &initialize).await.map_err(failed)?;
        let server = answer.text("/result/serverInfo/name");
        let holder = server.strip_prefix("limpet-demo-");
        let (Some(holder), Some(session)) = (holder, &answer.session) else {
            return Err(format!("expected a session, saw {}", answer.shown()));
        };
        (agent.holder, agent.session) = (holder.to_owned(), session.clone());
        Ok(agent)
    }

    /// One call of the tool, which the session's own instance must answer with the next number.
    async fn count(&mut self, connection: &mut Connection) -> Result<(), String> {
        let answer = self.ask(connection, &call()).await.map_err(failed)?;
        self.calls += 1;
        let expected = format!("instance {}: call {} of this session", self.holder, self.calls);
        if answer.text("/result/content/0/text") != expected {
            return Err(format!("expected {expected:?}, saw {}", answer.shown()));
        }
        match answer.session {
            Some(session) if session != self.session => {
                Err(format!("the session's id became {session}"))
            }
            _ => Ok(()),
        }
    }

    async fn ask(
        &self,
        connection: &mut Connection,
        message: &Value,
    ) -> Result<Answer, ClientError> {
        self.send(connection, Method::POST, &message.to_string()).await
    }

    async fn send(
        &self,
        connection: &mut Connection,
        method: Method,
        content: &str,
    ) -> Result<Answer, ClientError> {
        let mut request = Request::builder()
            .method(method)
            .uri(PATH)
            .header(ACCEPT, "application/json, text/event-stream")
            .header(CONTENT_TYPE, "application/json");
        if !self.session.is_empty() {
            request = request.header(SESSION_FIELD, &self.session);
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(content.as_bytes())))?;
        let response = connection.ask(request).await?;
        let session = response.headers().get(SESSION_FIELD);
        let session = session.and_then(|value| value.to_str().ok()).map(str::to_owned);
        Ok(Answer {
            status: response.status().as_u16(),
            session,
            content: serde_json::from_slice(response.body()).unwrap_or_default(),
        })
    }
}

/// A call of the tool that counts its calls.
fn call() -> Value {
    json!({
        "jsonrpc": "2.0", "id": 2, "method": "tools/call",
        "params": { "name": "count", "arguments": {} },
    })
}
