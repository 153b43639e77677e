//! What the store asks of a disk, and the real one.
//!
//! The trait exists so that a test can put a disk under the store that loses, tears and reorders whatever was not
//! synced. Everything durable goes through it, the two databases included.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::iter;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::{FallocateFlags, SeekFrom, fallocate, seek};
use rustix::io::Errno;

/// A folder of files with names like `index.redb` and `segments/0000000000000001.seg`.
pub trait Disk: fmt::Debug + Send + Sync + 'static {
    /// Opens a file that exists.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// Makes a file that does not exist yet. Its name is durable after [`sync_names`](Self::sync_names).
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// The names of the files in a folder, without the folder.
    fn list(&self, folder: &str) -> io::Result<Vec<String>>;
    /// Removes a file; open handles go on reading it.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Gives a file another name within its folder, in the place of whatever had it.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Makes creations, removals and new names in a folder durable (`""` is the data folder itself).
    fn sync_names(&self, folder: &str) -> io::Result<()>;
}

/// An open file. Reads and writes say where; there is no cursor.
pub trait DiskFile: fmt::Debug + Send + Sync + 'static {
    /// The length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Whether it is empty.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Bytes that the file occupies, without its holes.
    fn occupied(&self) -> io::Result<u64>;
    /// Reads exactly as many bytes as `out` has.
    fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<()>;
    /// Where bytes are that may not be zero, in order, before `end`. A disk that does not know says: everywhere.
    fn written(&self, end: u64) -> io::Result<Vec<Range<u64>>> {
        Ok(iter::once(0..end).collect())
    }
    /// Writes all of `bytes`; durable after [`sync`](Self::sync).
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Cuts or extends, with zeros.
    fn set_len(&self, length: u64) -> io::Result<()>;
    /// Extends with zeros that have their place on the disk; `Unsupported` where the file system cannot.
    fn allocate(&self, length: u64) -> io::Result<()>;
    /// Gives the whole pages of a range back; they read as zeros.
    fn punch(&self, offset: u64, length: u64) -> io::Result<()>;
    /// Makes everything written so far durable.
    fn sync(&self) -> io::Result<()>;
}

/// A folder of the file system.
#[derive(Debug)]
pub struct FolderDisk {
    folder: PathBuf,
}

impl FolderDisk {
    /// A disk on a folder that exists.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }
}

impl Disk for FolderDisk {
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).open(self.folder.join(name))?;
        Ok(Arc::new(RealFile(file)))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let path = self.folder.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
        Ok(Arc::new(RealFile(file)))
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.folder.join(folder)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.folder.join(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.folder.join(from), self.folder.join(to))
    }

    fn sync_names(&self, folder: &str) -> io::Result<()> {
        File::open(self.folder.join(folder))?.sync_all()
    }
}

/// Holes beyond these are read through.
const MOST_RANGES: usize = 4096;

#[derive(Debug)]
struct RealFile(File);

impl DiskFile for RealFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn occupied(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.blocks().saturating_mul(512))
    }

    fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
    }

    fn written(&self, end: u64) -> io::Result<Vec<Range<u64>>> {
        let mut ranges = Vec::new();
        let mut at = 0;
        // The cursor is of no use to anybody else: all reads and writes say where.
        while at < end && ranges.len() < MOST_RANGES {
            let from = match seek(&self.0, SeekFrom::Data(at)) {
                Ok(from) => from,
                Err(Errno::NXIO) => return Ok(ranges),
                // A file system that does not know.
                Err(_) => break,
            };
            let Ok(hole) = seek(&self.0, SeekFrom::Hole(from)) else { break };
            ranges.push(from.max(at)..hole.min(end));
            at = hole.max(from + 1);
        }
        if at < end {
            ranges.push(at..end);
        }
        Ok(ranges)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        Ok(fallocate(&self.0, FallocateFlags::empty(), 0, length)?)
    }

    fn punch(&self, offset: u64, length: u64) -> io::Result<()> {
        Ok(fallocate(&self.0, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, offset, length)?)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}
