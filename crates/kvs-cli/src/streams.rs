//! `kvs streams`: the streams of a service, which may be AWS itself.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_kinesisvideo::Client;
use aws_sdk_kinesisvideo::types::StreamInfo;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::amount;
use crate::aws::{self, Place, archive, spinner};
use crate::failure::Failure;
use crate::fragments::{self, Row, Window, ahead};
use crate::moment::{now, utc};
use crate::table::Table;

/// Streams asked at a time for their last fragment.
const AT_A_TIME: usize = 8;
const HOUR: u64 = 3_600;

/// The streams of the service that the environment names: kvs serve, or AWS
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  kvs streams                                  a table of all streams
  kvs streams --json | jq .Streams[].StreamName
  kvs streams create cam1 --retention 24h
  kvs streams delete cam1 --yes"
)]
pub(crate) struct Streams {
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Make a stream
    Create {
        /// What it is called
        name: String,
        /// How long media is kept, in whole hours; 0h keeps nothing
        #[arg(long, value_name = "SPAN", value_parser = hours, default_value = "24h")]
        retention: i32,
        /// What producers send, such as video/h264
        #[arg(long, value_name = "TYPE")]
        media_type: Option<String>,
    },
    /// Delete a stream and all that is recorded of it
    Delete {
        /// Which
        name: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

/// A whole number of hours.
fn hours(text: &str) -> Result<i32, String> {
    let seconds = amount::span(text)?.as_secs();
    let hours = i32::try_from(seconds / HOUR).ok().filter(|_| seconds % HOUR == 0);
    hours.ok_or_else(|| "retention is whole hours, such as 24h or 7days".into())
}

impl Streams {
    pub(crate) fn run(self) -> Result<(), Failure> {
        aws::block_on(async {
            let config = aws::config().await?;
            let client = Client::new(&config);
            match self.what {
                None => list(&config, client, self.json).await,
                Some(What::Create { name, retention, media_type }) => {
                    let call = client.create_stream().stream_name(name).set_media_type(media_type);
                    let made = call.data_retention_in_hours(retention).send().await;
                    let arn = made
                        .map_err(|error| Place::of(&config).refused(&error))?
                        .stream_arn
                        .unwrap_or_default();
                    Ok(writeln!(std::io::stdout().lock(), "{arn}")?)
                }
                Some(What::Delete { name, yes }) => delete(&Place::of(&config), &client, &name, yes).await,
            }
        })
    }
}

async fn delete(place: &Place, client: &Client, name: &str, yes: bool) -> Result<(), Failure> {
    let stream =
        client.describe_stream().stream_name(name).send().await.map_err(|error| place.refused(&error))?;
    let stream = stream.stream_info.ok_or_else(|| Failure::new("DescribeStream describes nothing"))?;
    if !yes {
        confirm(&format!("Delete the stream {name} and all that is recorded of it? [y/N] "))?;
    }
    // With the version: what somebody else has changed meanwhile is not deleted.
    let call = client.delete_stream().set_stream_arn(stream.stream_arn).set_current_version(stream.version);
    call.send().await.map_err(|error| place.refused(&error))?;
    Ok(())
}

fn confirm(question: &str) -> Result<(), Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new("nobody can be asked here: say --yes"));
    }
    let mut errors = std::io::stderr().lock();
    write!(errors, "{question}")?;
    errors.flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Failure::new("nothing is deleted")),
    }
}

/// A stream, and its newest fragment.
struct Line {
    stream: StreamInfo,
    last: Option<Row>,
}

async fn list(config: &SdkConfig, client: Client, json: bool) -> Result<(), Failure> {
    let bar = spinner("streams");
    let (mut streams, mut token, place) = (Vec::new(), None, Place::of(config));
    loop {
        let call = client.list_streams().set_next_token(token);
        let page = place.patiently(|| call.clone().send()).await?;
        streams.extend(page.stream_info_list.unwrap_or_default());
        bar.set_position(u64::try_from(streams.len()).unwrap_or(u64::MAX));
        token = page.next_token.filter(|token| !token.is_empty());
        if token.is_none() {
            break;
        }
    }
    bar.finish_and_clear();
    let bar = spinner("last fragments");
    let mut waiting = streams.into_iter();
    let (mut asked, mut lines) = (JoinSet::new(), Vec::new());
    loop {
        while asked.len() < AT_A_TIME {
            let Some(stream) = waiting.next() else { break };
            let (config, client) = (config.clone(), client.clone());
            asked.spawn(async move {
                let last = last_fragment(&config, &client, &stream).await?;
                Ok::<_, Failure>(Line { stream, last })
            });
        }
        let Some(line) = asked.join_next().await else { break };
        lines.push(line??);
        bar.inc(1);
    }
    bar.finish_and_clear();
    lines.sort_by(|a, b| a.stream.stream_name.cmp(&b.stream.stream_name));
    let mut out = std::io::stdout().lock();
    if json {
        let streams: Vec<_> = lines.iter().map(Line::json).collect();
        return Ok(writeln!(out, "{}", json!({ "Streams": streams }))?);
    }
    let mut table = Table::new(["NAME", "STATUS", "RETENTION", "CREATED", "MEDIA TYPE", "LAST FRAGMENT"]);
    for line in &lines {
        table.row(line.cells());
    }
    Ok(out.write_all(table.to_string().as_bytes())?)
}

/// The newest of a stream. Lists have no order on AWS, so it is looked for in windows that grow.
async fn last_fragment(
    config: &SdkConfig,
    client: &Client,
    stream: &StreamInfo,
) -> Result<Option<Row>, Failure> {
    let retention =
        u64::try_from(stream.data_retention_in_hours.unwrap_or_default()).unwrap_or_default() * HOUR;
    let Some(name) = stream.stream_name.as_deref().filter(|_| retention > 0) else { return Ok(None) };
    let archive = archive(config, client, name).await?;
    let now = now();
    for seconds in [60, HOUR, 24 * HOUR, retention] {
        let since = now.checked_sub(Duration::from_secs(seconds)).unwrap_or_default();
        let window = Window { since, until: ahead(now), by_server: true };
        let rows = fragments::list(&archive, name, window, |_| {}).await?;
        if let Some(last) = rows.into_iter().max_by(|a, b| a.number.cmp(&b.number)) {
            return Ok(Some(last));
        }
    }
    Ok(None)
}

impl Line {
    fn cells(&self) -> [String; 6] {
        let stream = &self.stream;
        let retention = stream.data_retention_in_hours.unwrap_or_default();
        [
            stream.stream_name.clone().unwrap_or_default(),
            stream.status.as_ref().map(ToString::to_string).unwrap_or_default(),
            if retention == 0 { "none".into() } else { format!("{retention} h") },
            stream.creation_time.map(|time| utc(time).to_string()).unwrap_or_default(),
            stream.media_type.clone().unwrap_or_default(),
            self.last.as_ref().map(|row| row.server_time.to_string()).unwrap_or_default(),
        ]
    }

    /// With the names of DescribeStream.
    fn json(&self) -> Value {
        let stream = &self.stream;
        json!({
            "StreamName": stream.stream_name,
            "StreamARN": stream.stream_arn,
            "Status": stream.status.as_ref().map(ToString::to_string),
            "DataRetentionInHours": stream.data_retention_in_hours,
            "CreationTime": stream.creation_time.map(|time| utc(time).to_string()),
            "MediaType": stream.media_type,
            "DeviceName": stream.device_name,
            "KmsKeyId": stream.kms_key_id,
            "Version": stream.version,
            "LastFragment": self.last.as_ref().map(Row::json),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retention_is_whole_hours() {
        assert_eq!(hours("24h"), Ok(24));
        assert_eq!(hours("7days"), Ok(168));
        assert_eq!(hours("0h"), Ok(0));
        assert!(hours("90min").is_err() && hours("24").is_err() && hours("9999999years").is_err());
    }
}
