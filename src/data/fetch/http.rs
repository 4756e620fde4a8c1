//! Requests: short texts, and files from any byte on.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use ureq::http::{Response, StatusCode, header};
use ureq::{Agent, Body};

use super::FetchError;

/// Longest wait for a connection, for an answer, and for the next bytes.
const PATIENCE: Duration = Duration::from_mins(1);
/// Bytes a second, on an average over [`SPAN`], below which nobody waits for the end.
pub(super) const SLOWEST: u64 = 1 << 10;
const SPAN: Duration = Duration::from_secs(20);
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
        let response = self.get(url, 0)?;
        if response.status() != StatusCode::OK {
            return Err(status(url, &response));
        }
        let mut text = String::new();
        let mut body = Paced::new(response.into_body().into_reader()).take(LONGEST_TEXT + 1);
        let read = body.read_to_string(&mut text);
        read.map_err(|error| FetchError::Unreachable {
            url: url.to_owned(),
            problem: error.to_string(),
        })?;
        match text.len() as u64 > LONGEST_TEXT {
            true => Err(FetchError::TooLong {
                url: url.to_owned(),
                limit: LONGEST_TEXT,
            }),
            false => Ok(text),
        }
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
            body: Box::new(Paced::new(response.into_body().into_reader())),
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

/// A body that is an error where it comes too slowly: each read may be within [`PATIENCE`], and there be no end.
struct Paced<R> {
    body: R,
    since: Instant,
    bytes: u64,
}

/// Why such a body is an error.
#[derive(Debug, thiserror::Error)]
#[error("it comes with less than {SLOWEST} bytes a second")]
struct Slow;

/// Whether a body came too slowly.
pub(super) fn is_slow(error: &io::Error) -> bool {
    error
        .get_ref()
        .is_some_and(<dyn std::error::Error + Send + Sync>::is::<Slow>)
}

impl<R> Paced<R> {
    fn new(body: R) -> Self {
        Self {
            body,
            since: Instant::now(),
            bytes: 0,
        }
    }
}

impl<R: Read> Read for Paced<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.body.read(into)?;
        self.bytes += count as u64;
        if self.since.elapsed() >= SPAN {
            if count > 0 && self.bytes < SLOWEST * SPAN.as_secs() {
                return Err(io::Error::other(Slow));
            }
            (self.since, self.bytes) = (Instant::now(), 0);
        }
        Ok(count)
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
    fn a_body_that_comes_too_slowly_is_an_error_and_its_end_is_none() {
        let long_ago = || Instant::now().checked_sub(SPAN).expect("an earlier time");
        let read = |body: &[u8], bytes| {
            let since = long_ago();
            Paced { body, since, bytes }.read(&mut [0; 64])
        };
        assert!(is_slow(&read(b"x", 10).expect_err("slow")));
        assert_eq!(read(b"x", 1 << 20).expect("fast"), 1);
        assert_eq!(read(b"", 10).expect("the end"), 0);
    }

    #[test]
    fn ranges_are_read_as_servers_write_them() {
        assert_eq!(range("bytes 100-999/1000"), Some((100, Some(1000))));
        assert_eq!(range("bytes 0-9/*"), Some((0, None)));
        for bad in ["", "bytes */1000", "items 1-2/3", "bytes 1/2", "bytes x-2/3"] {
            assert_eq!(range(bad), None, "{bad}");
        }
    }
}
