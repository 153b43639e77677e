//! A redb database on a [`Disk`], which closes itself after an error and opens itself again when it is next wanted.
//!
//! redb refuses everything after one failed write. What it committed durably is still there after reopening.
//!
//! It takes for granted that pages read as they were written, and panics where they do not. Such a panic ends here, as
//! the error that it is: the database is damaged.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, RwLock};

use redb::{Builder, Database, ReadTransaction, ReadableDatabase, StorageBackend, WriteTransaction};

use super::disk::{Disk, DiskFile};
use super::error::StoreError;

pub(crate) struct Base {
    disk: Arc<dyn Disk>,
    name: &'static str,
    cache: usize,
    database: RwLock<Option<Database>>,
}

impl Base {
    pub(crate) fn open(disk: Arc<dyn Disk>, name: &'static str, cache: usize) -> Result<Self, StoreError> {
        let base = Self { disk, name, cache, database: RwLock::new(None) };
        let database = base.load()?;
        base.put(Some(database));
        Ok(base)
    }

    /// A durable transaction: all of it or nothing.
    pub(crate) fn write<T>(
        &self,
        work: impl Fn(&WriteTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        self.with(|database| {
            let mut transaction = database.begin_write()?;
            // Saves the allocator's state with the commit, so that opening after a crash does not walk the tree.
            transaction.set_quick_repair(true);
            let value = work(&transaction)?;
            transaction.commit()?;
            Ok(value)
        })
    }

    pub(crate) fn read<T>(
        &self,
        work: impl Fn(&ReadTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        self.with(|database| work(&database.begin_read()?))
    }

    fn with<T>(&self, work: impl Fn(&Database) -> Result<T, redb::Error>) -> Result<T, StoreError> {
        loop {
            let guard = self.database.read().unwrap_or_else(std::sync::PoisonError::into_inner);
            if let Some(database) = &*guard {
                let result = unharmed(|| work(database)).map_err(|error| self.error(error));
                drop(guard);
                if result.is_err() {
                    self.put(None);
                }
                return result;
            }
            drop(guard);
            let mut slot = self.slot();
            if slot.is_none() {
                *slot = Some(self.load()?);
            }
        }
    }

    fn put(&self, database: Option<Database>) {
        let before = std::mem::replace(&mut *self.slot(), database);
        // Closing reads too, and what was damaged before is not repaired by it.
        let _ = unharmed(|| {
            drop(before);
            Ok(())
        });
    }

    fn slot(&self) -> std::sync::RwLockWriteGuard<'_, Option<Database>> {
        self.database.write().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn load(&self) -> Result<Database, StoreError> {
        let file = match self.disk.open(self.name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return self.make(),
            other => other.map_err(|error| self.error(redb::Error::Io(error)))?,
        };
        self.build(file)
    }

    /// A database has its name only when it is whole: half of one opens for nobody.
    fn make(&self) -> Result<Database, StoreError> {
        let part = format!("{}.new", self.name);
        let io = |error| self.error(redb::Error::Io(error));
        match self.disk.remove(&part) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
            _ => {}
        }
        let file = self.disk.create(&part).map_err(io)?;
        drop(self.build(Arc::clone(&file))?);
        file.sync().map_err(io)?;
        self.disk.rename(&part, self.name).map_err(io)?;
        self.disk.sync_names("").map_err(io)?;
        self.build(file)
    }

    fn build(&self, file: Arc<dyn DiskFile>) -> Result<Database, StoreError> {
        let open = || Ok(Builder::new().set_cache_size(self.cache).create_with_backend(Backend(file))?);
        unharmed(open).map_err(|error| self.error(error))
    }

    fn error(&self, error: redb::Error) -> StoreError {
        StoreError::Database { name: self.name, source: Box::new(error) }
    }
}

impl Drop for Base {
    fn drop(&mut self) {
        self.put(None);
    }
}

/// A database that panicked is thrown away: nobody sees what the panic left half done.
fn unharmed<T>(work: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, redb::Error> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(redb::Error::Corrupted("it does not read as it was written".to_owned())))
}

#[derive(Debug)]
struct Backend(Arc<dyn DiskFile>);

impl StorageBackend for Backend {
    fn len(&self) -> Result<u64, io::Error> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.0.read_at(out, offset)
    }

    fn set_len(&self, length: u64) -> Result<(), io::Error> {
        self.0.set_len(length)
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        self.0.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.0.write_at(data, offset)
    }
}
