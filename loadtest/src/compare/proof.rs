//! Whether a file that was loaded again has taken effect: by which targets new users are answered.
//!
//! Owns: the new users, a crowd at a time. Never: a command to the balancer, or a question that only some of them
//! answer. Tested here against a listener of the test's own.

use std::io;
use std::time::{Duration, Instant};

use super::client::Door;

/// New users at a time. With one target of eight away, all of them miss it by chance once in ten million times.
const CROWD: usize = 128;

/// Between two crowds: they are not to be the load.
const PAUSE: Duration = Duration::from_millis(100);

/// What new users see once a reload has taken effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Awaited {
    /// Nobody is answered by a target that was taken away.
    Gone,
    /// Somebody is answered by a target that came back.
    Back,
}

/// The proof of one reload.
#[derive(Debug)]
pub struct Proof {
    awaited: Awaited,
    began: Instant,
    last: Option<Instant>,
    is_there: bool,
}

impl Proof {
    /// A reload has been asked for just now.
    pub fn new(awaited: Awaited) -> Proof {
        Proof { awaited, began: Instant::now(), last: None, is_there: false }
    }

    /// Sends a crowd, unless one was there a moment ago or there is nothing left to prove. `leaving` is the
    /// `X-Target` of those that were taken away or came back.
    pub fn look(&mut self, door: &Door, request: &str, leaving: &str) {
        if self.is_there || self.last.is_some_and(|last| last.elapsed() < PAUSE) {
            return;
        }
        // Who is turned away while the file is loaded proves nothing.
        if let Ok(targets) = crowd(door, request.as_bytes()) {
            let met = targets.iter().any(|target| target == leaving);
            self.is_there = match self.awaited {
                Awaited::Gone => !met,
                Awaited::Back => met,
            };
        }
        self.last = Some(Instant::now());
    }

    /// What is wrong with a run that ends now, if so.
    pub fn fault(&self) -> Option<String> {
        let seen = match self.awaited {
            Awaited::Gone => "a target that was taken away still answers new users",
            Awaited::Back => "no target that was brought back answers new users",
        };
        let seconds = self.began.elapsed().as_secs_f64();
        (!self.is_there)
            .then(|| format!("a reload did not take effect within {seconds:.1} s: {seen}"))
    }
}

/// By which targets new users are answered, who all ask at once.
fn crowd(door: &Door, request: &[u8]) -> io::Result<Vec<String>> {
    let mut clients = Vec::with_capacity(CROWD);
    for _ in 0..CROWD {
        let mut client = door.enter()?;
        client.tell(request)?;
        clients.push(client);
    }
    let answers = clients.iter_mut().map(|client| {
        let answer = client.answer(false)?;
        let target = answer.target.filter(|_| answer.status == 200);
        target.ok_or_else(|| io::Error::other(format!("status {}", answer.status)))
    });
    answers.collect()
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{SocketAddr, TcpListener};
    use std::thread;

    use super::*;

    const REQUEST: &str = "GET / HTTP/1.1\r\n\r\n";

    /// A balancer that answers a crowd with each of these statuses, by turns from these targets.
    fn balancer(crowds: &'static [(u16, &'static [&'static str])]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for (status, targets) in crowds {
                for turn in 0..CROWD {
                    let (mut stream, _) = listener.accept().unwrap();
                    stream.read_exact(&mut [0; REQUEST.len()]).unwrap();
                    let target = targets[turn % targets.len()];
                    let answer = format!(
                        "HTTP/1.1 {status} x\r\nX-Target: {target}\r\nContent-Length: 0\r\n\r\n"
                    );
                    stream.write_all(answer.as_bytes()).unwrap();
                }
            }
        });
        address
    }

    fn look(proof: &mut Proof, address: SocketAddr) -> bool {
        proof.last = None;
        proof.look(&Door::plain(address), REQUEST, "t7");
        proof.fault().is_none()
    }

    #[test]
    fn a_target_has_gone_when_no_new_user_meets_it() {
        let address = balancer(&[(200, &["t0", "t7"]), (503, &["t0"]), (200, &["t0", "t1"])]);
        let mut proof = Proof::new(Awaited::Gone);
        assert!(!look(&mut proof, address));
        assert!(!look(&mut proof, address), "an error is no proof");
        assert!(proof.fault().unwrap().contains("was taken away"));
        assert!(look(&mut proof, address));
        // What has been proven is not asked again: nobody would answer.
        assert!(look(&mut proof, address));
    }

    #[test]
    fn a_target_is_back_when_a_new_user_meets_it() {
        let address = balancer(&[(200, &["t0", "t1"]), (200, &["t0", "t1", "t7"])]);
        let mut proof = Proof::new(Awaited::Back);
        assert!(!look(&mut proof, address));
        assert!(proof.fault().unwrap().contains("was brought back"));
        assert!(look(&mut proof, address));
    }

    #[test]
    fn crowds_keep_apart() {
        let address = Door::plain(balancer(&[(200, &["t7"])]));
        let mut proof = Proof::new(Awaited::Gone);
        proof.look(&address, REQUEST, "t7");
        // In the time to come: less than a pause ago, however slow this test is.
        let last = Some(Instant::now() + PAUSE);
        proof.last = last;
        proof.look(&address, REQUEST, "t7");
        assert_eq!(proof.last, last, "no second crowd");
    }
}
