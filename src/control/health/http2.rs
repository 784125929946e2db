//! Checks of targets that speak HTTP/2: one request on a connection of its own, by the `h2` crate. Ends with its
//! connection, and with the time of the check. Tested with the checks.

use std::future::Future;

use bytes::Bytes;
use h2::client::{self, SendRequest};
use hyper::http::{Request, Uri};
use tokio::io::{AsyncRead, AsyncWrite};

use super::check::{HttpAsk, Search, USER_AGENT, expected};

impl HttpAsk {
    /// Asks for a path of `host` and judges the response.
    ///
    /// # Errors
    /// Why the check has failed, in words.
    pub(super) async fn exchange_http2<S>(
        &self,
        stream: S,
        (scheme, host): (&str, &str),
        status: &mut Option<u16>,
    ) -> Result<(), String>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        over_connection(stream, self.head_bytes, |send| {
            self.ask_http2(send, (scheme, host), status)
        })
        .await
    }

    async fn ask_http2(
        &self,
        send: SendRequest<Bytes>,
        (scheme, host): (&str, &str),
        status: &mut Option<u16>,
    ) -> Result<(), String> {
        let uri = Uri::builder().scheme(scheme).authority(host).path_and_query(self.path.as_str());
        let request = Request::builder()
            .method(self.method.as_str())
            .uri(uri.build().map_err(|error| error.to_string())?)
            .header("user-agent", USER_AGENT)
            .body(())
            .map_err(|error| error.to_string())?;
        let mut send = send.ready().await.map_err(words)?;
        let (response, _) = send.send_request(request, true).map_err(words)?;
        let response = response.await.map_err(words)?;
        let head = response.status().as_u16();
        *status = Some(head);
        if !self.expect.iter().any(|range| range.contains(&head)) {
            return Err(format!("status {head}, expected {}", expected(&self.expect)));
        }
        if self.body.is_empty() {
            return Ok(());
        }
        let mut content = response.into_body();
        let mut search = Search::new(&self.body);
        while !search.is_over() {
            let Some(piece) = content.data().await else { break };
            let piece = piece.map_err(words)?;
            search.add(&piece);
            content.flow_control().release_capacity(piece.len()).map_err(words)?;
        }
        if search.has_found() { Ok(()) } else { Err(self.not_found()) }
    }
}

/// Makes a connection and asks on it; it ends with the answer.
///
/// # Errors
/// What `ask` says, or why the connection has ended before it said anything.
pub(super) async fn over_connection<S, T, F>(
    stream: S,
    head_bytes: usize,
    ask: impl FnOnce(SendRequest<Bytes>) -> F,
) -> Result<T, String>
where
    F: Future<Output = Result<T, String>>,
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let mut builder = client::Builder::new();
    builder.max_header_list_size(u32::try_from(head_bytes).unwrap_or(u32::MAX));
    let (send, connection) = builder.handshake(stream).await.map_err(words)?;
    let asked = ask(send);
    tokio::pin!(asked, connection);
    tokio::select! {
        biased;
        judged = &mut asked => judged,
        // What came before its end may still be judged.
        ended = &mut connection => match ended {
            Ok(()) => asked.await,
            Err(error) => Err(words(error)),
        },
    }
}

/// What is wrong, as the access log calls what would fail a client's request.
pub(super) fn words(error: h2::Error) -> String {
    let (text, code) = match error.get_io() {
        Some(error) => (error.to_string(), "target_closed"),
        None if error.is_reset() => (error.to_string(), "target_reset"),
        None => (format!("no valid HTTP/2: {error}"), "target_closed"),
    };
    format!("{text} ({code})")
}
