//! A client that signs as the AWS SDKs do, and writes its own HTTP to do it cruelly.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use bytes::{Buf as _, Bytes, BytesMut};
use kvs_service::auth::Identities;
use kvs_wire::{Ack, AckEvent, AckReader, Operation};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// No answer of a service that works takes so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone, Debug)]
pub(crate) struct Keys {
    pub(crate) access_key: String,
    pub(crate) secret: String,
    pub(crate) token: Option<String>,
}

impl Keys {
    /// Those of the root user.
    pub(crate) fn root(identities: &Identities) -> Self {
        let pair = &identities.root().keys()[0];
        Self {
            access_key: pair.access_key_id.to_string(),
            secret: pair.secret_access_key.reveal().to_owned(),
            token: None,
        }
    }

    /// Those of the root user of a data folder.
    pub(crate) fn of_folder(data: &Path) -> Self {
        let identities = std::fs::read(data.join(kvs_service::IDENTITIES)).unwrap();
        Self::root(&Identities::parse(&identities).unwrap())
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) address: SocketAddr,
    pub(crate) keys: Keys,
}

/// The head of a response.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) headers: HashMap<String, String>,
}

/// A response with its body.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) head: Head,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    /// The name of the exception that it is.
    pub(crate) fn exception(&self) -> &str {
        let kind = self.head.headers.get("x-amzn-errortype").map_or("", String::as_str);
        kind.split(':').next().unwrap()
    }
}

impl Client {
    /// Headers with a signature over them and the body's hash.
    pub(crate) fn signed(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<(String, String)> {
        self.signed_at(path, headers, body, SystemTime::now())
    }

    pub(crate) fn signed_at(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
        time: SystemTime,
    ) -> Vec<(String, String)> {
        let Keys { access_key, secret, token } = &self.keys;
        let identity = Credentials::new(access_key, secret, token.clone(), None, "test").into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region("us-west-2")
            .name("kinesisvideo")
            .time(time)
            .settings(SigningSettings::default())
            .build()
            .unwrap()
            .into();
        let host = self.address.to_string();
        let mut all: Vec<(String, String)> = vec![("host".into(), host)];
        all.extend(headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let uri = format!("http://{}{path}", self.address);
        let borrowed = all.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let request = SignableRequest::new("POST", &uri, borrowed, SignableBody::Bytes(body)).unwrap();
        let (instructions, _) = sign(request, &parameters).unwrap().into_parts();
        let added = instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned()));
        all.extend(added.collect::<Vec<_>>());
        all
    }

    /// Calls an operation that answers with JSON.
    pub(crate) async fn call(&self, operation: Operation, body: Value) -> Answer {
        let body = body.to_string();
        let headers = self.signed(operation.path(), &[("content-type", "application/json")], body.as_bytes());
        self.send(operation.path(), &headers, body.as_bytes()).await
    }

    /// Calls one that must succeed.
    pub(crate) async fn ok(&self, operation: Operation, body: Value) -> Value {
        let answer = self.call(operation, body).await;
        assert_eq!(answer.head.status, 200, "{operation}: {answer:?}");
        answer.json()
    }

    /// Reads what is behind a URL of a playback session.
    pub(crate) async fn fetch(&self, path: &str) -> Answer {
        let mut wire = Wire::connect(self.address).await;
        wire.head("GET", path, &[("host".to_owned(), self.address.to_string())], Some(0)).await;
        wire.answer().await
    }

    /// Makes a stream that keeps its media for a day, or not at all.
    pub(crate) async fn create(&self, name: &str, retention_hours: u32) -> String {
        let body = json!({ "StreamName": name, "DataRetentionInHours": retention_hours });
        self.ok(Operation::CreateStream, body).await["StreamARN"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn send(&self, path: &str, headers: &[(String, String)], body: &[u8]) -> Answer {
        let mut wire = Wire::connect(self.address).await;
        wire.head("POST", path, headers, Some(body.len())).await;
        wire.write(body).await;
        wire.answer().await
    }

    /// The fragments that a stream lists by the producer's time, sorted by number.
    pub(crate) async fn fragments(&self, name: &str) -> Vec<Value> {
        let mut fragments = Vec::new();
        let mut token = Value::Null;
        loop {
            let answer = self
                .ok(
                    Operation::ListFragments,
                    json!({
                        "StreamName": name,
                        "NextToken": token,
                        "FragmentSelector": {
                            "FragmentSelectorType": "PRODUCER_TIMESTAMP",
                            "TimestampRange": { "StartTimestamp": 0, "EndTimestamp": 4_000_000_000_u32 },
                        },
                    }),
                )
                .await;
            fragments.extend(answer["Fragments"].as_array().unwrap().iter().cloned());
            token = answer["NextToken"].clone();
            if token.is_null() {
                fragments.sort_by_key(|row| row["FragmentNumber"].as_str().unwrap().to_owned());
                return fragments;
            }
        }
    }

    /// Begins a PutMedia session.
    pub(crate) async fn put(&self, name: &str) -> Put {
        let put = self.try_put(&[("x-amzn-stream-name", name), ABSOLUTE]).await;
        assert_eq!(put.head.status, 200, "{:?}", put.head);
        put
    }

    /// Begins one with any headers, which may be refused.
    pub(crate) async fn try_put(&self, headers: &[(&str, &str)]) -> Put {
        let headers = self.signed("/putMedia", headers, b"");
        let mut wire = Wire::connect(self.address).await;
        wire.head("POST", "/putMedia", &headers, None).await;
        let head = wire.read_head().await;
        Put { wire, head, acks: AckReader::new(), rest: BytesMut::new() }
    }

    /// Begins a GetMedia answer.
    pub(crate) async fn get(&self, name: &str, selector: Value) -> Media {
        let media = self.try_get(json!({ "StreamName": name, "StartSelector": selector })).await;
        assert_eq!(media.head.status, 200, "{:?}", media.head);
        media
    }

    pub(crate) async fn try_get(&self, body: Value) -> Media {
        self.media(Operation::GetMedia, body).await
    }

    pub(crate) async fn media(&self, operation: Operation, body: Value) -> Media {
        let body = body.to_string();
        let headers = self.signed(operation.path(), &[], body.as_bytes());
        let mut wire = Wire::connect(self.address).await;
        wire.head("POST", operation.path(), &headers, Some(body.len())).await;
        wire.write(body.as_bytes()).await;
        let head = wire.read_head().await;
        Media { wire, head }
    }
}

pub(crate) const ABSOLUTE: (&str, &str) = ("x-amzn-fragment-timecode-type", "ABSOLUTE");

/// A PutMedia session.
pub(crate) struct Put {
    pub(crate) wire: Wire,
    pub(crate) head: Head,
    acks: AckReader,
    rest: BytesMut,
}

impl Put {
    /// Sends media as one HTTP chunk.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.wire.chunk(bytes).await;
    }

    /// Ends the body.
    pub(crate) async fn finish(&mut self) {
        self.wire.write(b"0\r\n\r\n").await;
    }

    /// The next ack; none when the response has ended.
    pub(crate) async fn ack(&mut self) -> Option<Ack> {
        self.read_ack(false).await
    }

    /// The same, where the service may be gone at any moment.
    pub(crate) async fn try_ack(&mut self) -> Option<Ack> {
        self.read_ack(true).await
    }

    async fn read_ack(&mut self, may_break: bool) -> Option<Ack> {
        loop {
            let mut rest: &[u8] = &self.rest;
            let before = rest.len();
            let ack = self.acks.read(&mut rest);
            let taken = before - rest.len();
            self.rest.advance(taken);
            if let Some(ack) = ack {
                return Some(ack.unwrap());
            }
            self.wire.may_break = may_break;
            self.rest.extend_from_slice(&self.wire.read_chunk().await?);
        }
    }

    /// The next ack but IDLE.
    pub(crate) async fn event(&mut self) -> Option<(AckEvent, Option<i64>)> {
        loop {
            let ack = self.ack().await?;
            if ack.event != AckEvent::Idle {
                return Some((ack.event, ack.fragment_timecode));
            }
        }
    }

    /// All acks until the response ends.
    pub(crate) async fn acks(&mut self) -> Vec<Ack> {
        let mut acks = Vec::new();
        while let Some(ack) = self.ack().await {
            acks.push(ack);
        }
        acks
    }
}

/// An answer that is media.
pub(crate) struct Media {
    pub(crate) wire: Wire,
    pub(crate) head: Head,
}

impl Media {
    /// Some more of it; none at its end.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        self.wire.read_chunk().await
    }

    /// All of it.
    pub(crate) async fn all(&mut self) -> Bytes {
        let mut all = BytesMut::new();
        while let Some(chunk) = self.next().await {
            all.extend_from_slice(&chunk);
        }
        all.freeze()
    }

    /// Reads until so many bytes are there.
    pub(crate) async fn until(&mut self, mut enough: impl FnMut(&[u8]) -> bool) -> Bytes {
        let mut all = BytesMut::new();
        while !enough(&all) {
            all.extend_from_slice(&self.next().await.expect("the answer ended too early"));
        }
        all.freeze()
    }
}

/// A connection, and HTTP by hand.
pub(crate) struct Wire {
    pub(crate) tcp: TcpStream,
    read: BytesMut,
    chunked: bool,
    left: usize,
    /// A reset is an end too.
    may_break: bool,
}

impl Wire {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let tcp = TcpStream::connect(address).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        Self { tcp, read: BytesMut::new(), chunked: false, left: 0, may_break: false }
    }

    /// Writes the head of a request; without a length its body is chunked.
    pub(crate) async fn head(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(String, String)],
        length: Option<usize>,
    ) {
        let mut head = format!("{method} {path} HTTP/1.1\r\n");
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += &match length {
            Some(length) => format!("content-length: {length}\r\n\r\n"),
            None => "transfer-encoding: chunked\r\n\r\n".to_owned(),
        };
        self.write(head.as_bytes()).await;
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        tokio::time::timeout(PATIENCE, self.tcp.write_all(bytes))
            .await
            .expect("the service takes nothing")
            .unwrap();
    }

    pub(crate) async fn chunk(&mut self, bytes: &[u8]) {
        self.try_chunk(bytes).await.unwrap();
    }

    /// The same, where the service may be gone at any moment.
    pub(crate) async fn try_chunk(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
        chunk.extend_from_slice(bytes);
        chunk.extend_from_slice(b"\r\n");
        let written = tokio::time::timeout(PATIENCE, self.tcp.write_all(&chunk)).await;
        written.expect("the service takes nothing")
    }

    /// More bytes from the network; none at its end.
    async fn fill(&mut self) -> Option<()> {
        let read = tokio::time::timeout(PATIENCE, self.tcp.read_buf(&mut self.read)).await;
        let read = read.expect("the service says nothing");
        let read = if self.may_break { read.unwrap_or(0) } else { read.unwrap() };
        (read > 0).then_some(())
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.read.windows(2).position(|pair| pair == b"\r\n") {
                let line = self.read.split_to(end);
                self.read.advance(2);
                return Some(String::from_utf8(line.to_vec()).unwrap());
            }
            self.fill().await?;
        }
    }

    pub(crate) async fn read_head(&mut self) -> Head {
        let line = self.line().await.expect("no response");
        let status = line.split(' ').nth(1).unwrap().parse().unwrap();
        let mut headers = HashMap::new();
        loop {
            let line = self.line().await.unwrap();
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(": ").unwrap();
            headers.insert(name.to_ascii_lowercase(), value.to_owned());
        }
        self.chunked = headers.get("transfer-encoding").is_some_and(|value| value == "chunked");
        self.left = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
        Head { status, headers }
    }

    /// A chunk of the response; none at its end. A response that is cut off is an end without one.
    pub(crate) async fn read_chunk(&mut self) -> Option<Bytes> {
        if !self.chunked {
            while self.left > 0 && self.read.is_empty() {
                self.fill().await?;
            }
            let length = self.left.min(self.read.len());
            self.left -= length;
            return (length > 0).then(|| self.read.split_to(length).freeze());
        }
        let length = usize::from_str_radix(&self.line().await?, 16).unwrap();
        while self.read.len() < length + 2 {
            self.fill().await?;
        }
        let chunk = self.read.split_to(length).freeze();
        self.read.advance(2);
        (length > 0).then_some(chunk)
    }

    /// The status of the answer, where the connection may be closed instead.
    pub(crate) async fn try_answer(
        &mut self,
        path: &str,
        headers: &[(String, String)],
        body: &[u8],
    ) -> Option<u16> {
        let mut request = format!("POST {path} HTTP/1.1\r\n");
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        request += &format!("content-length: {}\r\n\r\n", body.len());
        self.may_break = true;
        self.tcp.write_all(&[request.as_bytes(), body].concat()).await.ok()?;
        self.line().await?.split(' ').nth(1)?.parse().ok()
    }

    pub(crate) async fn answer(&mut self) -> Answer {
        let head = self.read_head().await;
        let mut body = BytesMut::new();
        while let Some(chunk) = self.read_chunk().await {
            body.extend_from_slice(&chunk);
        }
        Answer { head, body: body.freeze() }
    }
}
