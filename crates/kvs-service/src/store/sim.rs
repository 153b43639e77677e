//! A disk for tests that does what disks do when the power fails: of what was not synced it keeps some sectors and
//! loses others, in no order. Also full, broken and slow to forgive, on demand.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::disk::{Disk, DiskFile};

const SECTOR: usize = 512;

/// Sectors by their number; what is not there is zero.
type Sectors = BTreeMap<u64, [u8; SECTOR]>;

#[derive(Debug, Clone, Default)]
struct Content {
    length: u64,
    sectors: Sectors,
}

#[derive(Debug, Default)]
struct Node {
    /// What a reader sees.
    now: Content,
    /// What the last sync left.
    synced: Content,
    /// Sectors written, and lengths set, since then.
    dirty: BTreeSet<u64>,
}

/// What goes wrong next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// No space for anything new.
    Full,
    /// Every write and sync fails.
    Broken,
    /// Writes go through, syncs fail, and what they should have synced is lost (fsync reports an error once).
    SyncFails,
}

#[derive(Debug, Default)]
struct State {
    /// Files by name, and the names that are durable.
    names: BTreeMap<String, Arc<Mutex<Node>>>,
    durable_names: BTreeMap<String, Arc<Mutex<Node>>>,
    fault: Option<Fault>,
    /// Operations that still work; at zero the power is gone.
    left: Option<u64>,
}

/// The simulated disk. A clone is the same disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct SimDisk(Arc<Mutex<State>>);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SimDisk {
    pub(crate) fn fail(&self, fault: Option<Fault>) {
        lock(&self.0).fault = fault;
    }

    /// The power goes after so many more operations.
    pub(crate) fn cut_after(&self, operations: u64) {
        lock(&self.0).left = Some(operations);
    }

    /// What the disk holds when the power comes back; `chance` decides about everything not synced.
    pub(crate) fn after_power_cut(&self, mut chance: impl FnMut(u64) -> u64) -> Self {
        let state = lock(&self.0);
        let mut survivors = BTreeMap::new();
        let everything: BTreeSet<&String> = state.names.keys().chain(state.durable_names.keys()).collect();
        for name in everything {
            let (now, durable) = (state.names.get(name), state.durable_names.get(name));
            // A name that was made or removed and not synced: either way.
            let node = match (now, durable) {
                (Some(now), Some(_)) => now,
                (Some(one), None) | (None, Some(one)) if chance(2) == 0 => one,
                _ => continue,
            };
            survivors.insert(name.clone(), Arc::new(Mutex::new(lock(node).after_power_cut(&mut chance))));
        }
        let state = State { durable_names: survivors.clone(), names: survivors, ..State::default() };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Flips bits of a file, for tests of damage.
    pub(crate) fn damage(&self, name: &str, offset: u64) {
        let node = Arc::clone(&lock(&self.0).names[name]);
        let mut node = lock(&node);
        let sector = node.now.sectors.entry(offset / SECTOR as u64).or_insert([0; SECTOR]);
        sector[usize::try_from(offset).unwrap() % SECTOR] ^= 0x40;
    }

    fn file(&self, node: &Arc<Mutex<Node>>) -> Arc<dyn DiskFile> {
        Arc::new(SimFile { node: Arc::clone(node), disk: self.clone() })
    }

    /// Says of an operation that changes something whether it may.
    fn change(&self, what: Change) -> io::Result<()> {
        let mut state = lock(&self.0);
        match &mut state.left {
            Some(0) => return Err(io::Error::other("the power is gone")),
            Some(left) => *left -= 1,
            None => {}
        }
        match (state.fault, what) {
            (Some(Fault::Full), Change::Grow) => Err(io::ErrorKind::StorageFull.into()),
            (Some(Fault::Broken), _) | (Some(Fault::SyncFails), Change::Sync) => {
                Err(io::Error::other("broken"))
            }
            _ => Ok(()),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Grow,
    Overwrite,
    Sync,
}

impl Disk for SimDisk {
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let state = lock(&self.0);
        let node = state.names.get(name).cloned();
        drop(state);
        node.map(|node| self.file(&node)).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.change(Change::Grow)?;
        let node = Arc::new(Mutex::new(Node::default()));
        if lock(&self.0).names.insert(name.to_owned(), Arc::clone(&node)).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        Ok(self.file(&node))
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let state = lock(&self.0);
        let prefix = format!("{folder}/");
        Ok(state.names.keys().filter_map(|name| name.strip_prefix(&prefix)).map(str::to_owned).collect())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.change(Change::Overwrite)?;
        lock(&self.0).names.remove(name).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.change(Change::Overwrite)?;
        let mut state = lock(&self.0);
        let node = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), node);
        Ok(())
    }

    fn sync_names(&self, folder: &str) -> io::Result<()> {
        self.change(Change::Sync)?;
        let mut state = lock(&self.0);
        let within = |name: &String| name.rsplit_once('/').map_or("", |(folder, _)| folder) == folder;
        state.durable_names.retain(|name, _| !within(name));
        let now: Vec<_> = state
            .names
            .iter()
            .filter(|(name, _)| within(name))
            .map(|(n, f)| (n.clone(), f.clone()))
            .collect();
        state.durable_names.extend(now);
        Ok(())
    }
}

#[derive(Debug)]
struct SimFile {
    node: Arc<Mutex<Node>>,
    disk: SimDisk,
}

impl Node {
    fn after_power_cut(&self, chance: &mut impl FnMut(u64) -> u64) -> Self {
        let mut kept = self.synced.clone();
        // How this cut treats this file: nothing, everything, or sector by sector.
        let mood = chance(4);
        if mood != 0 {
            kept.length = if chance(2) == 0 { self.now.length } else { self.synced.length };
            for sector in &self.dirty {
                if mood == 1 || chance(2) == 0 {
                    match self.now.sectors.get(sector) {
                        Some(bytes) => kept.sectors.insert(*sector, *bytes),
                        None => kept.sectors.remove(sector),
                    };
                }
            }
        }
        kept.cut();
        Self { now: kept.clone(), synced: kept, dirty: BTreeSet::new() }
    }
}

impl Content {
    /// Nothing is beyond the end.
    fn cut(&mut self) {
        let (last, rest) =
            (self.length / SECTOR as u64, usize::try_from(self.length % SECTOR as u64).unwrap());
        self.sectors.retain(|sector, _| *sector < last || (*sector == last && rest > 0));
        if let Some(sector) = self.sectors.get_mut(&last) {
            sector[rest..].fill(0);
        }
    }
}

impl DiskFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        Ok(lock(&self.node).now.length)
    }

    fn occupied(&self) -> io::Result<u64> {
        Ok(lock(&self.node).now.sectors.len() as u64 * SECTOR as u64)
    }

    fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
        let node = lock(&self.node);
        if offset + out.len() as u64 > node.now.length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut at = offset;
        let mut rest = out;
        while !rest.is_empty() {
            let within = usize::try_from(at % SECTOR as u64).unwrap();
            let count = rest.len().min(SECTOR - within);
            let (head, tail) = rest.split_at_mut(count);
            match node.now.sectors.get(&(at / SECTOR as u64)) {
                Some(sector) => head.copy_from_slice(&sector[within..within + count]),
                None => head.fill(0),
            }
            at += count as u64;
            rest = tail;
        }
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let grows = offset + bytes.len() as u64 > lock(&self.node).now.length;
        self.disk.change(if grows { Change::Grow } else { Change::Overwrite })?;
        let mut node = lock(&self.node);
        let mut at = offset;
        let mut rest = bytes;
        while !rest.is_empty() {
            let within = usize::try_from(at % SECTOR as u64).unwrap();
            let (head, tail) = rest.split_at(rest.len().min(SECTOR - within));
            let number = at / SECTOR as u64;
            node.now.sectors.entry(number).or_insert([0; SECTOR])[within..within + head.len()]
                .copy_from_slice(head);
            node.dirty.insert(number);
            at += head.len() as u64;
            rest = tail;
        }
        node.now.length = node.now.length.max(at);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.disk.change(if length > self.len()? { Change::Grow } else { Change::Overwrite })?;
        let mut node = lock(&self.node);
        let node = &mut *node;
        node.dirty.extend(node.now.sectors.range(length / SECTOR as u64..).map(|(sector, _)| *sector));
        node.now.length = length;
        node.now.cut();
        Ok(())
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        if length > self.len()? { self.set_len(length) } else { Ok(()) }
    }

    fn punch(&self, offset: u64, length: u64) -> io::Result<()> {
        self.disk.change(Change::Overwrite)?;
        let mut node = lock(&self.node);
        let node = &mut *node;
        // Whole pages, as file systems do.
        let (first, last) =
            (offset.next_multiple_of(4096) / SECTOR as u64, (offset + length) / 4096 * 4096 / SECTOR as u64);
        if first < last {
            let gone: Vec<_> = node.now.sectors.range(first..last).map(|(sector, _)| *sector).collect();
            for sector in gone {
                node.now.sectors.remove(&sector);
                node.dirty.insert(sector);
            }
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let allowed = self.disk.change(Change::Sync);
        let mut node = lock(&self.node);
        let node = &mut *node;
        if let Err(error) = allowed {
            // The kernel forgets that pages which it could not write are dirty: a later sync succeeds without them.
            if lock(&self.disk.0).fault == Some(Fault::SyncFails) {
                node.dirty.clear();
            }
            return Err(error);
        }
        node.synced.length = node.now.length;
        for sector in std::mem::take(&mut node.dirty) {
            match node.now.sectors.get(&sector) {
                Some(bytes) => node.synced.sectors.insert(sector, *bytes),
                None => node.synced.sectors.remove(&sector),
            };
        }
        node.synced.cut();
        Ok(())
    }
}
