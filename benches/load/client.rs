//! An HTTP/1.1 client that costs little: it shares the cores with the server that it measures.
//!
//! It knows what it needs for our own server on loopback, and nothing more: one request at a time on a connection that is
//! kept open; answers with a `content-length`, or in chunks without trailers.

use std::io;
use std::net::SocketAddr;
use tokio::net::TcpStream;

/// More than any answer that is asked for here.
const LONGEST_ANSWER: usize = 4 * 1024 * 1024;

/// The beginning of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    pub status: u16,
    /// In seconds.
    pub retry_after: Option<u64>,
    /// Where the body begins.
    body: usize,
    /// How long it is; `None` if it comes in chunks.
    length: Option<usize>,
}

/// A connection that is kept open.
pub struct Connection {
    stream: TcpStream,
    /// Room for an answer, and how much of it is filled.
    buffer: Vec<u8>,
    filled: usize,
}

impl Connection {
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: vec![0; 64 * 1024], filled: 0 })
    }

    /// Sends a request and reads its answer to the end.
    pub async fn exchange(&mut self, request: &[u8]) -> io::Result<Head> {
        let mut sent = 0;
        while sent < request.len() {
            match self.stream.try_write(&request[sent..]) {
                Ok(bytes) => sent += bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.stream.writable().await?,
                Err(error) => return Err(error),
            }
        }
        self.filled = 0;
        let mut head = None;
        loop {
            // Waiting first saves the call that would say that there is nothing yet.
            self.stream.readable().await?;
            match self.stream.try_read(&mut self.buffer[self.filled..]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(bytes) => self.filled += bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error),
            }
            if head.is_none() {
                head = parse(&self.buffer[..self.filled])?;
            }
            if let Some(head) = head
                && self.is_complete(head)?
            {
                return Ok(head);
            }
            if self.filled == self.buffer.len() {
                if self.filled >= LONGEST_ANSWER {
                    return Err(io::Error::other("a very long answer"));
                }
                self.buffer.resize(self.filled * 2, 0);
            }
        }
    }

    fn is_complete(&self, head: Head) -> io::Result<bool> {
        let body = &self.buffer[head.body..self.filled];
        match head.length {
            Some(length) => Ok(body.len() >= length),
            None => chunks(body, |_| {}),
        }
    }

    /// The body of the last answer.
    pub fn body(&self, head: Head) -> Vec<u8> {
        let body = &self.buffer[head.body..self.filled];
        match head.length {
            Some(length) => body[..length].to_vec(),
            None => {
                let mut whole = Vec::new();
                // It was complete, or there would be no head.
                let _ = chunks(body, |chunk| whole.extend_from_slice(chunk));
                whole
            }
        }
    }
}

/// Goes through the chunks at the beginning of `body` (RFC 9112 §7.1); true if the last one is there.
fn chunks(mut body: &[u8], mut each: impl FnMut(&[u8])) -> io::Result<bool> {
    loop {
        let Some(end) = body.windows(2).position(|two| two == b"\r\n") else { return Ok(false) };
        let size = std::str::from_utf8(&body[..end]).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
        let size = size.ok_or_else(not_understood)?;
        let (begin, end) = (end + 2, end + 2 + size);
        if body.len() < end + 2 {
            return Ok(false);
        }
        if size == 0 {
            return Ok(true);
        }
        each(&body[begin..end]);
        body = &body[end + 2..];
    }
}

fn not_understood() -> io::Error {
    io::Error::other("an answer that is not understood")
}

/// The head at the beginning of `received`, once it is all there.
fn parse(received: &[u8]) -> io::Result<Option<Head>> {
    let Some(end) = received.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&received[..end]).map_err(|_| not_understood())?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).ok_or_else(not_understood)?;
    let (mut length, mut retry_after, mut in_chunks) = (None, None, false);
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        if name.eq_ignore_ascii_case("content-length") {
            length = value.parse().ok();
        } else if name.eq_ignore_ascii_case("retry-after") {
            retry_after = value.parse().ok();
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            in_chunks = value.eq_ignore_ascii_case("chunked");
        }
    }
    if length.is_none() && !in_chunks {
        return Err(not_understood());
    }
    Ok(Some(Head { status, retry_after, body: end + 4, length }))
}
