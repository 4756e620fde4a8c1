//! A server for tests, on this machine: it breaks off, redirects, and knows what it was asked for.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// Path and range of every request.
type Asked = Mutex<Vec<(String, Option<u64>)>>;

/// What is said to requests of one path.
#[derive(Clone, Default)]
pub(super) struct Answer {
    pub body: Vec<u8>,
    /// Bytes that the first requests get of what they ask for, before the connection closes.
    pub cuts: Vec<usize>,
    /// Whether `Range` is passed over.
    pub no_ranges: bool,
    /// Whether the body goes on without an end.
    pub endless: bool,
    /// Where the content is instead.
    pub elsewhere: Option<String>,
}

/// A server on a free port.
pub(super) struct Server {
    pub url: String,
    asked: Arc<Asked>,
}

impl Server {
    pub(super) fn new(answers: Vec<(String, Answer)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        std::thread::spawn(move || {
            let mut answers = answers;
            for stream in listener.incoming().flatten() {
                // A client that goes away is no fault of the server's.
                let _ = answer(stream, &mut answers, &log);
            }
        });
        Self { url, asked }
    }

    /// Ranges of the requests for a file.
    pub(super) fn ranges(&self, file: &str) -> Vec<Option<u64>> {
        let asked = self.asked.lock().expect("no panic");
        asked
            .iter()
            .filter(|(path, _)| path.ends_with(file))
            .map(|(_, range)| *range)
            .collect()
    }
}

fn answer(mut stream: TcpStream, answers: &mut [(String, Answer)], log: &Asked) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().unwrap_or(Ok(String::new()))?;
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut range = None;
    for line in lines {
        let line = line?.to_ascii_lowercase();
        if let Some(bytes) = line.strip_prefix("range: bytes=") {
            range = bytes.trim_end_matches('-').parse::<u64>().ok();
        }
        if line.is_empty() {
            break;
        }
    }
    log.lock().expect("no panic").push((path.clone(), range));
    let Some((_, answer)) = answers.iter_mut().find(|(known, _)| *known == path) else {
        return stream
            .write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\nConnection: close\r\n\r\ngone");
    };
    if let Some(elsewhere) = &answer.elsewhere {
        let head = format!(
            "HTTP/1.1 302 Found\r\nLocation: {elsewhere}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        return stream.write_all(head.as_bytes());
    }
    if answer.endless {
        stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
        let piece = vec![b'x'; 1 << 16];
        loop {
            stream.write_all(&piece)?;
        }
    }
    let total = answer.body.len();
    let start = range.filter(|_| !answer.no_ranges).unwrap_or(0) as usize;
    let head = match start {
        0 => "HTTP/1.1 200 OK\r\n".to_owned(),
        _ if start >= total => "HTTP/1.1 416 Range Not Satisfiable\r\n".to_owned(),
        _ => format!(
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {start}-{}/{total}\r\n",
            total - 1
        ),
    };
    let body = answer.body.get(start..).unwrap_or_default();
    let head = format!(
        "{head}Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    let sent = if answer.cuts.is_empty() {
        body.len()
    } else {
        answer.cuts.remove(0).min(body.len())
    };
    stream.write_all(&body[..sent])
}
