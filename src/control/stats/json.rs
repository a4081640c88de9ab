//! The report as JSON and as typed text, as `show stat json|typed`, `show info json|typed` and `;json` print it
//! (management guide 9.2 and 9.3). Written by hand: the shape is HAProxy's, not that of our types.

use std::fmt::Write as _;

use super::columns::{COLUMNS, Cell};
use super::info;
use super::report::{ProcessReport, Report, Row, RowKind};
use super::selection::Selection;

/// `;json` and `show stat json`: a list with a list of fields for each row.
pub(crate) fn stat_json(report: &Report, selection: &Selection) -> String {
    let mut out = String::with_capacity(16 * 1024);
    out.push('[');
    for (index, row) in selection.rows(report).enumerate() {
        separate(&mut out, index);
        out.push('[');
        for (index, (position, name, tags, cell)) in row_fields(row).enumerate() {
            separate(&mut out, index);
            let _ =
                write!(out, "{{\"objType\":\"{}\",\"proxyId\":{},\"id\":{},", object_type(row.kind), row.iid, row.sid);
            field(&mut out, position, name, tags, &cell);
        }
        out.push(']');
    }
    out.push_str("]\n");
    out
}

/// `show stat typed`: a line per field, `S.3.1.17.status.1:SGP:str:UP`.
pub(crate) fn stat_typed(report: &Report, selection: &Selection) -> String {
    let mut out = String::with_capacity(16 * 1024);
    for row in selection.rows(report) {
        for (position, name, tags, cell) in row_fields(row) {
            let letter = object_type(row.kind).get(..1).unwrap_or_default();
            let _ = write!(out, "{letter}.{}.{}.{position}.{name}.1:", row.iid, row.sid);
            let _ = writeln!(out, "{tags}:{}:{}", type_name(&cell), plain(&cell));
        }
        // HAProxy parts the objects by an empty line nowhere: tools read to the end.
    }
    out
}

/// `show info json`.
pub(crate) fn info_json(process: &ProcessReport) -> String {
    let mut out = String::from("[");
    for (index, (position, entry, cell)) in info::present(process).enumerate() {
        separate(&mut out, index);
        out.push('{');
        field(&mut out, position, entry.name, entry.tags, &cell);
    }
    out.push_str("]\n");
    out
}

/// `show info typed`: `6.Pid.1:SGP:u32:123`.
pub(crate) fn info_typed(process: &ProcessReport) -> String {
    let mut out = String::new();
    for (position, entry, cell) in info::present(process) {
        let _ = writeln!(out, "{position}.{}.1:{}:{}:{}", entry.name, entry.tags, type_name(&cell), plain(&cell));
    }
    out
}

fn row_fields(row: &Row) -> impl Iterator<Item = (usize, &'static str, &'static str, Cell<'_>)> {
    COLUMNS
        .iter()
        .enumerate()
        .map(|(position, column)| (position, column.name, column.tags(row.kind), (column.value)(row)))
        .filter(|(.., cell)| *cell != Cell::Empty)
}

/// The rest of an object after its own opening.
fn field(out: &mut String, position: usize, name: &str, tags: &str, cell: &Cell<'_>) {
    let _ = write!(out, "\"field\":{{\"pos\":{position},\"name\":{}}},\"processNum\":1,", text(name));
    let mut letters = tags.chars();
    let (origin, nature, scope) = (letters.next(), letters.next(), letters.next());
    let _ = write!(
        out,
        "\"tags\":{{\"origin\":\"{}\",\"nature\":\"{}\",\"scope\":\"{}\"}},\"value\":{{\"type\":\"{}\",\"value\":",
        origin_word(origin),
        nature_word(nature),
        scope_word(scope),
        type_name(cell)
    );
    match cell {
        Cell::U32(_) | Cell::S32(_) | Cell::U64(_) => out.push_str(&plain(cell)),
        _ => out.push_str(&text(&plain(cell))),
    }
    out.push_str("}}");
}

/// A JSON string, quotes included.
pub(crate) fn text(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len() + 2);
    out.push('"');
    for c in raw.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A cell without quotes.
pub(crate) fn plain(cell: &Cell<'_>) -> String {
    match cell {
        Cell::Empty => String::new(),
        Cell::Text(text) => (*text).to_owned(),
        Cell::Owned(text) => text.clone(),
        Cell::U32(number) => number.to_string(),
        Cell::S32(number) => number.to_string(),
        Cell::U64(number) => number.to_string(),
    }
}

fn separate(out: &mut String, index: usize) {
    if index > 0 {
        out.push(',');
    }
}

fn type_name(cell: &Cell<'_>) -> &'static str {
    match cell {
        Cell::Empty | Cell::Text(_) | Cell::Owned(_) => "str",
        Cell::U32(_) => "u32",
        Cell::S32(_) => "s32",
        Cell::U64(_) => "u64",
    }
}

fn object_type(kind: RowKind) -> &'static str {
    match kind {
        RowKind::Frontend => "Frontend",
        RowKind::Backend => "Backend",
        RowKind::Server => "Server",
        RowKind::Listener => "Listener",
    }
}

fn origin_word(letter: Option<char>) -> &'static str {
    match letter {
        Some('M') => "Metric",
        Some('S') => "Status",
        Some('K') => "Key",
        Some('C') => "Config",
        Some('P') => "Product",
        _ => "Unknown",
    }
}

fn nature_word(letter: Option<char>) -> &'static str {
    match letter {
        Some('A') => "Age",
        Some('a') => "Avg",
        Some('C') => "Counter",
        Some('D') => "Duration",
        Some('G') => "Gauge",
        Some('L') => "Limit",
        Some('M') => "Max",
        Some('m') => "Min",
        Some('N') => "Name",
        Some('O') => "Output",
        Some('R') => "Rate",
        Some('T') => "Time",
        _ => "Unknown",
    }
}

fn scope_word(letter: Option<char>) -> &'static str {
    match letter {
        Some('C') => "Cluster",
        Some('P') => "Process",
        Some('S') => "Service",
        Some('s') => "System",
        _ => "Unknown",
    }
}

/// `;json-schema` and `show schema json`: what the JSON of both commands looks like, as a JSON Schema (draft 4, the
/// one HAProxy's names).
pub(crate) const SCHEMA: &str = concat!(
    r##"{"$schema":"http://json-schema.org/draft-04/schema#","oneOf":["##,
    r##"{"title":"Info","type":"array","items":{"title":"InfoItem","type":"object","##,
    r##""properties":{"field":{"$ref":"#/definitions/field"},"processNum":{"$ref":"#/definitions/processNum"},"##,
    r##""tags":{"$ref":"#/definitions/tags"},"value":{"$ref":"#/definitions/typedValue"}},"##,
    r##""required":["field","processNum","tags","value"]}},"##,
    r##"{"title":"Stat","type":"array","items":{"title":"Object","type":"array","items":{"title":"StatItem","##,
    r##""type":"object","properties":{"objType":{"enum":["Frontend","Backend","Listener","Server","Unknown"]},"##,
    r##""proxyId":{"type":"integer","minimum":0},"id":{"type":"integer","minimum":0},"##,
    r##""field":{"$ref":"#/definitions/field"},"processNum":{"$ref":"#/definitions/processNum"},"##,
    r##""tags":{"$ref":"#/definitions/tags"},"value":{"$ref":"#/definitions/typedValue"}},"##,
    r##""required":["objType","proxyId","id","field","processNum","tags","value"]}}},"##,
    r##"{"title":"Error","type":"object","properties":{"errorStr":{"type":"string"}},"required":["errorStr"]}],"##,
    r##""definitions":{"##,
    r##""field":{"type":"object","properties":{"pos":{"type":"integer","minimum":0},"name":{"type":"string"}},"##,
    r##""required":["pos","name"]},"##,
    r##""processNum":{"type":"integer","minimum":1},"##,
    r##""tags":{"type":"object","properties":{"##,
    r##""origin":{"enum":["Metric","Status","Key","Config","Product","Unknown"]},"##,
    r##""nature":{"enum":["Gauge","Limit","Min","Max","Rate","Counter","Duration","Age","Time","Name","Output","##,
    r##""Avg","Unknown"]},"scope":{"enum":["Cluster","Process","Service","System","Unknown"]}},"##,
    r##""required":["origin","nature","scope"]},"##,
    r##""typedValue":{"type":"object","properties":{"##,
    r##""type":{"enum":["s32","s64","u32","u64","str"]},"value":{"type":["integer","string"]}},"##,
    r##""required":["type","value"]}}}"##,
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::stats::sample;

    #[test]
    fn all_of_it_parses_back() {
        let report = sample::report();
        let stat: serde_json::Value = serde_json::from_str(&stat_json(&report, &Selection::default())).unwrap();
        assert_eq!(stat.as_array().unwrap().len(), report.rows().count());
        let first = &stat[0][0];
        assert_eq!(first["objType"], "Frontend");
        assert_eq!(first["field"]["name"], "pxname");
        assert_eq!(first["tags"]["nature"], "Name");
        assert_eq!(first["value"]["value"], "web");

        let info: serde_json::Value = serde_json::from_str(&info_json(&report.process)).unwrap();
        assert_eq!(info[0]["value"]["value"], "Lockgate");
        let schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
        assert_eq!(schema["oneOf"].as_array().unwrap().len(), 3);
    }

    #[test]
    fn typed_lines_are_haproxys() {
        let report = sample::report();
        let typed = stat_typed(&report, &Selection::default());
        for line in [
            "F.2.0.0.pxname.1:KNS:str:web\n",
            "F.2.0.17.status.1:SGP:str:OPEN\n",
            "B.3.0.19.act.1:MGP:u32:1\n",
            "S.3.1.19.act.1:SGP:u32:1\n",
            "S.3.1.55.lastsess.1:MAP:s32:1\n",
        ] {
            assert!(typed.contains(line), "{line}in\n{typed}");
        }
        assert!(info_typed(&report.process).starts_with("0.Name.1:POS:str:Lockgate\n1.Version.1:POS:str:"));
    }

    #[test]
    fn text_is_escaped() {
        let check = |raw: &str, expected: &str| assert_eq!(text(raw), expected);
        check("plain", "\"plain\"");
        check("a\"b\\c\nd\u{1}", "\"a\\\"b\\\\c\\nd\\u0001\"");
    }
}
