//! Requests: short texts, and files from any byte on.

use std::io::Read;
use std::time::Duration;

use ureq::http::{Response, StatusCode, header};
use ureq::{Agent, Body};

use super::FetchError;

/// Longest wait for a connection, for an answer, and for the next bytes.
const PATIENCE: Duration = Duration::from_mins(1);
/// More than any list of files.
const LONGEST_TEXT: u64 = 1 << 24;

/// Keeps connections open between requests.
pub(super) struct Client(Agent);

/// The bytes of a file, from `start` on.
pub(super) struct Reply {
    pub start: u64,
    /// Of the whole file, where the server says.
    pub total: Option<u64>,
    pub body: Box<dyn Read>,
}

impl Client {
    pub(super) fn new() -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .user_agent(concat!("runner/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(PATIENCE))
            .timeout_recv_response(Some(PATIENCE))
            .timeout_per_read(Some(PATIENCE));
        Self(config.build().new_agent())
    }

    /// A short text.
    pub(super) fn text(&self, url: &str) -> Result<String, FetchError> {
        let mut response = self.get(url, 0)?;
        if response.status() != StatusCode::OK {
            return Err(status(url, &response));
        }
        let text = response
            .body_mut()
            .with_config()
            .limit(LONGEST_TEXT)
            .read_to_string();
        text.map_err(|error| unreachable(url, &error))
    }

    /// A file from byte `start` on, or, where the server cannot do that, from the beginning.
    pub(super) fn file(&self, url: &str, start: u64) -> Result<Reply, FetchError> {
        let response = self.get(url, start)?;
        let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let (start, total) = match response.status() {
            StatusCode::OK => (
                0,
                text(header::CONTENT_LENGTH).and_then(|length| length.parse().ok()),
            ),
            StatusCode::PARTIAL_CONTENT => match text(header::CONTENT_RANGE).and_then(range) {
                Some((first, total)) if first == start => (start, total),
                // A part of the file that was not asked for.
                _ => return self.whole(url, start),
            },
            // There is nothing from there on: the file there is now is another one.
            StatusCode::RANGE_NOT_SATISFIABLE => return self.whole(url, start),
            _ => return Err(status(url, &response)),
        };
        Ok(Reply {
            start,
            total,
            body: Box::new(response.into_body().into_reader()),
        })
    }

    fn whole(&self, url: &str, start: u64) -> Result<Reply, FetchError> {
        match start {
            0 => Err(FetchError::Broken {
                url: url.to_owned(),
                received: 0,
                problem: "the server sends a part that was not asked for".to_owned(),
            }),
            _ => self.file(url, 0),
        }
    }

    fn get(&self, url: &str, start: u64) -> Result<Response<Body>, FetchError> {
        let mut request = self.0.get(url);
        if start > 0 {
            request = request.header(header::RANGE, format!("bytes={start}-"));
        }
        // Bytes are counted and hashed as they lie on the server.
        let request = request.header(header::ACCEPT_ENCODING, "identity");
        request.call().map_err(|error| unreachable(url, &error))
    }
}

fn status(url: &str, response: &Response<Body>) -> FetchError {
    FetchError::Status {
        url: url.to_owned(),
        status: response.status().as_u16(),
    }
}

fn unreachable(url: &str, error: &ureq::Error) -> FetchError {
    FetchError::Unreachable {
        url: url.to_owned(),
        problem: error.to_string(),
    }
}

/// First byte and length of the whole: `bytes 100-999/1000`, or `bytes 100-999/*`.
fn range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, _) = range.split_once('-')?;
    Some((first.trim().parse().ok()?, total.trim().parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_servers_write_them() {
        assert_eq!(range("bytes 100-999/1000"), Some((100, Some(1000))));
        assert_eq!(range("bytes 0-9/*"), Some((0, None)));
        for bad in ["", "bytes */1000", "items 1-2/3", "bytes 1/2", "bytes x-2/3"] {
            assert_eq!(range(bad), None, "{bad}");
        }
    }
}
