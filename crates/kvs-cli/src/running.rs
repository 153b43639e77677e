//! `service.json`: where the service of a data folder is, for as long as it runs.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};

use crate::failure::{Failure, While as _};

const NAME: &str = "service.json";

/// A service that runs, or ran until it was killed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Running {
    /// What clients are pointed at.
    pub(crate) url: String,
    /// Where it is for this machine, whatever name others know it by.
    pub(crate) local: SocketAddr,
    /// It speaks TLS there; a proxy in front of it may for others.
    pub(crate) tls: bool,
    /// The Region that it says it is in.
    pub(crate) region: String,
    /// Whose streams it has.
    pub(crate) account: String,
    /// The certificate that clients have to trust, when it is none that they know.
    pub(crate) ca: Option<PathBuf>,
    /// Its process.
    pub(crate) pid: i32,
}

/// The file, which is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Notice(PathBuf);

impl Drop for Notice {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            tracing::warn!(file = %self.0.display(), %error, "cannot remove");
        }
    }
}

impl Running {
    /// Writes the file, as a whole or not at all.
    pub(crate) fn announce(&self, data: &Path) -> Result<Notice, Failure> {
        let (path, new) = (data.join(NAME), data.join("service.json.new"));
        let write = || {
            match fs::remove_file(&new) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
            file.write_all(&serde_json::to_vec_pretty(self)?)?;
            file.write_all(b"\n")?;
            fs::rename(&new, &path)
        };
        write().doing(format_args!("cannot write {}", path.display()))?;
        Ok(Notice(path))
    }

    /// The service that runs on a folder now; `None` when there is none.
    pub(crate) fn find(data: &Path) -> Result<Option<Self>, Failure> {
        let path = data.join(NAME);
        let json = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.doing(format_args!("cannot read {}", path.display()))?,
        };
        let running: Self = serde_json::from_slice(&json).doing(path.display())?;
        Ok(running.is_alive().then_some(running))
    }

    /// Tells the process something.
    pub(crate) fn signal(&self, signal: Signal) -> Result<(), Failure> {
        let Some(pid) = self.process() else {
            return Err(Failure::new(format_args!("{} is no process", self.pid)));
        };
        rustix::process::kill_process(pid, signal)
            .doing(format_args!("cannot tell the service (process {})", self.pid))
    }

    /// A process of this number that is the same program: after a crash the number may be anybody's.
    fn is_alive(&self) -> bool {
        let program = |pid: &str| fs::read(format!("/proc/{pid}/comm")).ok();
        let exists = self
            .process()
            .is_some_and(|pid| !matches!(rustix::process::test_kill_process(pid), Err(Errno::SRCH)));
        // Without /proc there is nothing to compare.
        exists && (program("self").is_none() || program(&self.pid.to_string()) == program("self"))
    }

    /// One process: zero and less would be a group of them.
    fn process(&self) -> Option<Pid> {
        Some(self.pid).filter(|pid| *pid > 0).and_then(Pid::from_raw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use std::os::unix::fs::PermissionsExt as _;

    fn running(pid: i32) -> Running {
        Running {
            url: "http://127.0.0.1:4580".into(),
            local: "127.0.0.1:4580".parse().unwrap(),
            tls: false,
            region: "us-west-2".into(),
            account: "111122223333".into(),
            ca: None,
            pid,
        }
    }

    #[test]
    fn a_service_is_found_while_it_is_announced_and_only_its_owner_sees_it() {
        let folder = Scratch::new("announced");
        assert_eq!(Running::find(folder.path()).unwrap(), None);
        let me = running(i32::try_from(std::process::id()).unwrap());
        let notice = me.announce(folder.path()).unwrap();
        assert_eq!(Running::find(folder.path()).unwrap().as_ref(), Some(&me));
        let mode = fs::metadata(folder.path().join(NAME)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(notice);
        assert_eq!(Running::find(folder.path()).unwrap(), None);
    }

    #[test]
    fn a_service_that_was_killed_is_not_found() {
        let folder = Scratch::new("killed");
        // Process 1 is another program, and the other number is beyond what the system gives out.
        for pid in [1, i32::MAX, 0, -1] {
            let _notice = running(pid).announce(folder.path()).unwrap();
            assert_eq!(Running::find(folder.path()).unwrap(), None, "{pid}");
        }
    }
}
