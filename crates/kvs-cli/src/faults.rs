//! `kvs faults`: what a service that allows it is to do wrong.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::failure::{Failure, While as _};
use crate::running::Running;
use crate::settings::DATA;
use crate::users::read_text;

/// The service answers at once, or not at all.
const PATIENCE: Duration = Duration::from_secs(10);
/// More than it ever answers.
const MOST: u64 = 64 * 1024;

/// Command faults of the service that runs on this machine with --allow-faults; for tests
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  kvs faults set '{\"stream\":\"cam1\",\"times\":1,\"what\":{\"error_ack\":{\"fragment\":3,\"id\":5001}}}'
  kvs faults set '{\"what\":{\"refuse\":{\"operation\":\"PutMedia\",\"status\":503}}}'
  kvs faults set '{\"what\":\"shuffle_lists\"}'
  kvs faults clear")]
pub(crate) struct Faults {
    /// The data folder of the service
    #[arg(long, value_name = "DIR", default_value = DATA, global = true)]
    data: PathBuf,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Set a fault beside those that are set
    Set {
        /// The fault; - is standard input
        json: String,
    },
    /// Take all faults back
    Clear,
}

impl Faults {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let none = || Failure::new(format_args!("no service runs on {}", self.data.display()));
        let service = Running::find(&self.data)?.ok_or_else(none)?;
        let (method, body) = match &self.what {
            What::Set { json } if json == "-" => ("POST", read_text("-".as_ref())?),
            What::Set { json } => ("POST", json.clone()),
            What::Clear => ("DELETE", String::new()),
        };
        let (status, said) = call(&service, method, "/faults", &body)?;
        match status {
            200 => Ok(()),
            404 => Err(Failure::new("the service allows no faults: start it with --allow-faults")),
            _ => Err(Failure::new(said)),
        }
    }
}

/// One small request without a signature: status and body of the answer.
fn call(service: &Running, method: &str, path: &str, body: &str) -> Result<(u16, String), Failure> {
    let address = service.local;
    let unreachable = format!("cannot reach the service at {address}");
    let tcp = TcpStream::connect(address).doing(&unreachable)?;
    tcp.set_read_timeout(Some(PATIENCE))?;
    tcp.set_write_timeout(Some(PATIENCE))?;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let answer = match service.tls {
        true => exchange(tls(service, tcp)?, &request),
        false => exchange(tcp, &request),
    };
    read(&answer.doing(unreachable)?)
        .ok_or_else(|| Failure::new("the service answers in no way that is known"))
}

fn exchange(mut connection: impl Read + Write, request: &str) -> std::io::Result<String> {
    connection.write_all(request.as_bytes())?;
    let mut answer = String::new();
    connection.take(MOST).read_to_string(&mut answer)?;
    Ok(answer)
}

fn tls(service: &Running, tcp: TcpStream) -> Result<StreamOwned<ClientConnection, TcpStream>, Failure> {
    let ca = service.ca.as_deref();
    let ca =
        ca.ok_or_else(|| Failure::new("faults over HTTPS need the service's own CA (--tls-self-signed)"))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca).doing(ca.display())? {
        roots.add(certificate.doing(ca.display())?)?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::from(service.local.ip());
    Ok(StreamOwned::new(ClientConnection::new(Arc::new(config), name)?, tcp))
}

/// Status and body of an answer that ends with its connection.
fn read(answer: &str) -> Option<(u16, String)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    Some((status, body.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_a_status_and_a_body() {
        let said = "HTTP/1.1 400 Bad Request\r\ncontent-length: 3\r\n\r\nno\n";
        assert_eq!(read(said), Some((400, "no".into())));
        for text in ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 2\r\n\r\n", "HTTP/1.1 abc\r\n\r\n", "x\r\n\r\n"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
