//! `operator audit list` and `operator audit verify`.

use std::io::Write;

use imagefactory_store::{Entry, Filter, Page, Problem, Reader};
use jiff::{SignedDuration, Timestamp};

use super::AuditError;
use crate::config::{AuditListArgs, AuditOutput, AuditVerifyArgs};

/// Longest text of a column.
const WIDEST: usize = 60;

/// Lists entries, newest first.
pub(crate) async fn list(args: &AuditListArgs, output: &mut impl Write) -> Result<(), AuditError> {
    let reader = Reader::open(&args.database.url).await?;
    let page = Page {
        before: args.before,
        limit: args.limit,
        now: Timestamp::now(),
        patience: SignedDuration::from_secs(i64::from(args.confirm_seconds)),
    };
    let entries = reader.list(&filter(args), &page).await?;
    reader.close().await;
    match args.output {
        AuditOutput::Json => entries.iter().try_for_each(|entry| {
            writeln!(output, "{}", serde_json::to_string(entry)?)?;
            Ok(())
        }),
        AuditOutput::Table => Ok(table(&entries, output)?),
    }
}

/// Verifies the chain and prints its end.
pub(crate) async fn verify(args: &AuditVerifyArgs, output: &mut impl Write) -> Result<(), AuditError> {
    let reader = Reader::open(&args.database.url).await?;
    let verified = reader.verify(args.noted.as_ref()).await?;
    reader.close().await;
    let head = verified.map_err(AuditError::Broken)?.head;
    writeln!(
        output,
        "{} entries are whole; the last is {}:{}",
        head.seq, head.seq, head.hash
    )?;
    Ok(())
}

/// What is wrong with an entry, for people.
pub(super) fn says(problem: Problem) -> &'static str {
    match problem {
        Problem::Gap => "it is missing",
        Problem::Link => "it does not follow the entry before it",
        Problem::Hash => "its content was changed",
        Problem::Columns => "its columns say something else than its event",
        Problem::Unreadable => "it can't be read",
        Problem::End => "the chain's recorded end is another; entries were removed or replaced at the end",
        Problem::Noted => "it is not what was noted earlier",
    }
}

fn filter(args: &AuditListArgs) -> Filter {
    Filter {
        since: args.since,
        until: args.until,
        actor: args.actor.clone(),
        action: args.action.clone(),
        kind: args.kind,
        resource_kind: args.resource.clone(),
        namespace: args.namespace.clone(),
        name: args.name.clone(),
        outcome: args.result,
        tenant: args.tenant.clone(),
        project: args.project.clone(),
        code: args.code,
    }
}

fn table(entries: &[Entry], output: &mut impl Write) -> std::io::Result<()> {
    let head = [
        "SEQ", "TIME", "RESULT", "COUNT", "ACTOR", "ACTION", "RESOURCE", "TENANT", "CODE", "MESSAGE",
    ];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(entries.iter().map(row));
    let widths: Vec<usize> = (0..head.len())
        .map(|column| {
            rows.iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or_default()
        })
        .collect();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(text, width)| format!("{text:width$}"));
        writeln!(output, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}

fn row(entry: &Entry) -> [String; 10] {
    let event = &entry.event;
    let resource = [&event.resource.kind, &event.resource.namespace, &event.resource.name];
    let resource: Vec<_> = resource
        .into_iter()
        .filter(|part| !part.is_empty())
        .map(String::as_str)
        .collect();
    [
        entry.seq.to_string(),
        Timestamp::from_second(event.time.as_second())
            .unwrap_or(event.time)
            .to_string(),
        entry.outcome.as_str().to_owned(),
        event.count.to_string(),
        plain(&event.actor.user),
        plain(&event.action),
        plain(&resource.join("/")),
        plain(event.tenant.as_deref().unwrap_or_default()),
        event.code.map(|code| code.as_str()).unwrap_or_default().to_owned(),
        plain(event.reason.as_deref().unwrap_or(&event.message)),
    ]
}

/// Text of others in one line, without what moves a terminal's cursor or turns its text around.
fn plain(text: &str) -> String {
    let is_plain = |character: char| {
        !character.is_control()
            && !matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    let shown = |character| if is_plain(character) { character } else { '\u{fffd}' };
    let mut cut: String = text.chars().take(WIDEST).map(shown).collect();
    if text.chars().nth(WIDEST).is_some() {
        cut.push('…');
    }
    cut
}
