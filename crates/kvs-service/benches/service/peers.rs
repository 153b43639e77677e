//! What the machine does with the same bytes in the same minute.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::child::Server;
use crate::client::{ABSOLUTE, Client};
use crate::load::Target;
use crate::{Meter, machine, middle, percentiles, row};

/// AES-GCM, and the disk.
pub(crate) fn calibrate(root: &Path) {
    row("calibration: AES-256-GCM, 64 KiB", &format!("{} ms/MB", middle(&mut machine::seals())));
    row("calibration: fdatasync of 256 KiB", &percentiles(&mut machine::syncs(root)));
}

/// Milliseconds of CPU that curl needs to send a file over TLS, if it is there.
pub(crate) fn curl(to: &Target, ca: &Path, stream: &str, file: &Path) -> Option<f64> {
    let client = &to.client;
    let mut command = Command::new("curl");
    command.args([
        "-sS",
        "-f",
        "-o",
        "/dev/null",
        "-X",
        "POST",
        "-H",
        "Expect:",
        "-H",
        "Transfer-Encoding: chunked",
    ]);
    command.arg("--cacert").arg(ca).arg("-T").arg(file);
    for (name, value) in client.signed("/putMedia", &[("x-amzn-stream-name", stream), ABSOLUTE], b"") {
        command.arg("-H").arg(format!("{name}: {value}"));
    }
    let before = of_children();
    let status = command.arg(format!("https://{}/putMedia", client.address)).status().ok()?;
    assert!(status.success(), "curl: {status}");
    Some(of_children() - before)
}

/// CPU of processes that were waited for, in milliseconds.
pub(crate) fn of_children() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    [13, 14].map(|field: usize| fields[field].parse::<f64>().unwrap() * 10.0).iter().sum()
}

/// nginx on core 0, which receives and discards.
pub(crate) struct Nginx {
    child: Child,
    meter: Meter,
    pub(crate) plain: Target,
    pub(crate) tls: Target,
}

impl Nginx {
    /// With the certificate of the service; none when there is no nginx.
    pub(crate) fn start(server: &Server) -> Option<Self> {
        let [plain, tls] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
        let folder = server.folder.display();
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|what| format!("{what}_temp_path {folder}/nginx-{what};"))
            .concat();
        let config = format!(
            "daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr crit;
            events {{ worker_connections 8192; }}
            http {{
                {temporary} access_log off; client_max_body_size 0; keepalive_timeout 1h;
                keepalive_requests 1000000; lingering_time 1d; lingering_timeout 1h;
                server {{
                    listen {plain}; listen {tls} ssl; ssl_protocols TLSv1.3;
                    ssl_certificate {folder}/tls-cert.pem; ssl_certificate_key {folder}/tls-key.pem;
                    location / {{ return 200; }} location /files/ {{ alias {folder}/nginx-files/; }}
                }}
            }}"
        );
        let file = server.folder.join("nginx.conf");
        std::fs::File::create(&file).unwrap().write_all(config.as_bytes()).unwrap();
        let nginx = ["/usr/sbin/nginx", "/usr/local/bin/nginx", "/usr/bin/nginx"];
        let nginx = nginx.into_iter().find(|nginx| Path::new(nginx).exists())?;
        let mut command = Command::new("taskset");
        command.args(["-c", "0", nginx, "-c"]).arg(&file).stderr(Stdio::null());
        let child = command.spawn().ok()?;
        let target = |address: SocketAddr, tls| Target {
            client: Client { address, keys: server.plain.client.keys.clone() },
            tls,
        };
        let nginx = Self {
            meter: Meter::new(child.id()),
            child,
            plain: target(plain, None),
            tls: target(tls, server.tls.tls.clone()),
        };
        let patience = Instant::now() + Duration::from_secs(5);
        while TcpStream::connect(plain).is_err() {
            if Instant::now() > patience {
                return None;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(nginx)
    }

    pub(crate) fn cpu(&self) -> f64 {
        self.meter.cpu()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
