//! `kvs verify`: reads all that is stored.

use std::io::Write as _;
use std::path::PathBuf;

use kvs_service::store::{Damage, Number, SegmentId, Settings, Store, StreamId};
use serde_json::{Value, json};

use crate::amount::show_bytes;
use crate::aws::spinner;
use crate::failure::Failure;
use crate::settings::{DATA, Keys};
use crate::{folder, keys};

/// Read every byte that is stored, and say what is damaged
#[derive(Debug, clap::Args)]
#[command(after_help = "\
No service may run on the folder. The exit code is 1 when there is damage.

Examples:
  kvs verify --data /var/lib/kvs
  kvs verify --json | jq .Damage")]
pub(crate) struct Verify {
    /// The data folder
    #[arg(long, value_name = "DIR", default_value = DATA)]
    data: PathBuf,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    keys: Keys,
}

impl Verify {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let data = self.data.display();
        // Opening makes a folder; who has mistyped its name wants none.
        if !self.data.join("catalog.redb").exists() {
            return Err(Failure::new(format_args!(
                "{data} is no data folder: there is no catalog.redb in it"
            )));
        }
        let bar = spinner("reading all that is stored");
        let given = keys::given(&self.keys)?;
        let (store, recovery) = Store::open(&self.data, given.keyring, &Settings::default())
            .map_err(|error| folder::unopened(&self.data, &given.source, error))?;
        let found = store.verify();
        bar.finish_and_clear();
        let found = found?;
        let name =
            |id: StreamId| store.stream(id).map_or_else(|| id.to_string(), |stream| stream.name.to_string());
        let fragment = |(stream, number): &(StreamId, _)| format!("fragment {number} of {}", name(*stream));
        let mut damage = found.damage.clone();
        damage.extend(
            recovery.damage.iter().filter(|one| !found.damage.iter().any(|known| same(known, one))).cloned(),
        );
        let mut lost = found.lost.clone();
        lost.extend(recovery.lost.iter().filter(|id| !found.lost.contains(id)));
        // Said once, where the damage is known that costs it.
        let mut unreadable = found.unreadable.clone();
        unreadable.retain(|one| !damage.iter().any(|damage| damage.fragments.contains(one)));

        let mut out = std::io::stdout().lock();
        // What was torn off with a run that was killed is dead bytes, and no loss.
        let costly = damage.iter().filter(|one| !one.fragments.is_empty()).count();
        let places = costly + lost.len() + unreadable.len() + found.unlisted.len();
        if self.json {
            let fragment = |(stream, number): &(StreamId, Number)| json!({ "Stream": name(*stream), "FragmentNumber": number.to_string() });
            let fragments = |list: &[_]| list.iter().map(fragment).collect::<Vec<_>>();
            let damage: Vec<_> =
                damage.iter().map(|one| damage_json(one, &fragments(&one.fragments))).collect();
            let lost: Vec<_> = lost.iter().copied().map(bare).collect();
            let report = json!({
                "Sound": places == 0,
                "Segments": found.segments,
                "Records": found.records,
                "Fragments": found.fragments,
                "Bytes": found.bytes,
                "Damage": damage,
                "LostSegments": lost,
                "Unreadable": fragments(&unreadable),
                "Unlisted": fragments(&found.unlisted),
            });
            writeln!(out, "{report}")?;
        } else {
            for one in &damage {
                let lost: Vec<_> = one.fragments.iter().map(&fragment).collect();
                let (segment, length, offset) = (one.segment, one.length, one.offset);
                if lost.is_empty() {
                    writeln!(
                        out,
                        "{segment}: {length} bytes from {offset} are of no record; nothing is lost"
                    )?;
                } else {
                    let lost = lost.join(", ");
                    writeln!(out, "{segment}: {length} bytes from {offset} are damaged; lost: {lost}")?;
                }
            }
            for id in &lost {
                writeln!(out, "{id}: missing, or its header is damaged")?;
            }
            for one in &unreadable {
                writeln!(out, "{}: listed, and cannot be read", fragment(one))?;
            }
            for one in &found.unlisted {
                writeln!(out, "{}: stored, and not listed", fragment(one))?;
            }
            let (fragments, bytes) = (found.fragments, show_bytes(found.bytes));
            writeln!(out, "{fragments} fragments ({bytes}) in {} segments read whole", found.segments)?;
        }
        match places {
            0 => Ok(()),
            1 => Err(Failure::new(format_args!("{data} is damaged in 1 place"))),
            _ => Err(Failure::new(format_args!("{data} is damaged in {places} places"))),
        }
    }
}

fn same(a: &Damage, b: &Damage) -> bool {
    a.segment == b.segment && a.offset == b.offset
}

/// The id as it is in the name of the file.
fn bare(segment: SegmentId) -> String {
    format!("{:016x}", segment.0)
}

fn damage_json(damage: &Damage, fragments: &[Value]) -> Value {
    json!({
        "Segment": bare(damage.segment),
        "Offset": damage.offset,
        "Length": damage.length,
        "Fragments": fragments,
    })
}
