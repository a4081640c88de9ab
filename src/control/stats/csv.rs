//! The report as CSV, as `show stat` and `;csv` print it (management guide 9.1).

use std::fmt::Write as _;

use super::columns::{COLUMNS, Cell, EXTRA_COLUMNS};
use super::report::{Report, Row};
use super::selection::Selection;

/// Header line, a line per row; an empty line is the caller's.
pub(crate) fn render(report: &Report, selection: &Selection) -> String {
    let mut out = String::with_capacity(4096);
    header(&mut out);
    for row in selection.rows(report) {
        line(&mut out, row);
    }
    out
}

fn header(out: &mut String) {
    out.push_str("# ");
    for column in &COLUMNS {
        out.push_str(column.name);
        out.push(',');
    }
    out.push_str("-,");
    for column in &EXTRA_COLUMNS {
        out.push_str(column.name);
        out.push(',');
    }
    out.push('\n');
}

fn line(out: &mut String, row: &Row) {
    for column in &COLUMNS {
        cell(out, &(column.value)(row));
        out.push(',');
    }
    out.push_str("-,");
    for column in &EXTRA_COLUMNS {
        cell(out, &(column.value)(row));
        out.push(',');
    }
    out.push('\n');
}

fn cell(out: &mut String, cell: &Cell<'_>) {
    // Writing to a String cannot fail.
    let _ = match cell {
        Cell::Empty => Ok(()),
        Cell::Text(text) => {
            quoted(out, text);
            Ok(())
        }
        Cell::Owned(text) => {
            quoted(out, text);
            Ok(())
        }
        Cell::U32(number) => write!(out, "{number}"),
        Cell::S32(number) => write!(out, "{number}"),
        Cell::U64(number) => write!(out, "{number}"),
    };
}

/// Quotes only what needs it, as HAProxy does; line ends would break the line and become spaces.
fn quoted(out: &mut String, text: &str) {
    let one_line = |c: char| if c == '\n' || c == '\r' { ' ' } else { c };
    if !text.contains([',', '"']) {
        out.extend(text.chars().map(one_line));
        return;
    }
    out.push('"');
    for c in text.chars().map(one_line) {
        if c == '"' {
            out.push('"');
        }
        out.push(c);
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::stats::sample;

    #[test]
    fn header_and_rows_are_what_haproxy_prints() {
        let csv = render(&sample::report(), &Selection::default());
        let mut lines = csv.lines();
        let header = lines.next().unwrap();
        assert!(header.starts_with("# pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,dreq,dresp,ereq,"));
        assert!(header.ends_with("resbout,cache_hint_hits,-,ssl_sess,ssl_reused_sess,ssl_failed_handshake,"));
        let columns = header.matches(',').count();
        assert_eq!(columns, 119 + 1 + 3);
        for line in lines {
            assert!(line.split(',').count() > columns, "too short: {line}");
        }
        insta(&csv, "web,FRONTEND,,,12,40,2000,");
    }

    /// The row that starts so is there, with exactly these first cells.
    #[track_caller]
    fn insta(csv: &str, start: &str) {
        assert!(csv.lines().any(|line| line.starts_with(start)), "no line starts with {start} in\n{csv}");
    }

    #[test]
    fn empty_cells_stand_where_haproxy_leaves_them_empty() {
        // Taken from haproxy 2.6 with the same kinds of rows; `x` is a filled cell.
        let shape = |row: &Row| -> String {
            COLUMNS[..103]
                .iter()
                .map(|column| match (column.value)(row) {
                    Cell::Empty => '.',
                    Cell::Text("") => '.',
                    _ => 'x',
                })
                .collect()
        };
        let check = |name: &str, haproxy: &str| {
            let report = sample::report();
            let row = report.rows().find(|row| format!("{}/{}", row.proxy, row.name) == name).unwrap();
            let wanted: String = haproxy.split(',').map(|cell| if cell.is_empty() { '.' } else { 'x' }).collect();
            assert_eq!(shape(row), wanted, "{name}");
        };
        check(
            "web/FRONTEND",
            "web,FRONTEND,,,0,1,2000,5,415,580,0,0,0,,,,,OPEN,,,,,,,,,1,2,0,,,,0,5,0,5,,,,0,5,0,0,0,0,,5,5,5,,,0,0,0,0,,,,,,,,,,,,,,,,,,,,,http,,5,5,5,0,0,0,0,,,0,0,,,,,,,0,,,,,,,,",
        );
        check(
            "web/public",
            "web,one,,,0,1,0,5,415,580,0,0,0,,,,,OPEN,,,,,,,,,1,2,1,,,,3,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,127.0.0.1:18080,,http,,,,,,0,0,0,,,,,,,,,,,0,,,,,,,,",
        );
        check(
            "app/master",
            "app,s2,0,0,0,0,7,0,0,0,,0,,0,0,0,0,DOWN,1,0,1,1,1,4,4,,1,5,2,,0,,2,0,,0,L7STS,503,0,0,0,0,0,0,0,,,,0,0,0,,,,,-1,Service Unavailable,,0,0,0,0,,,,Layer7 wrong status,,2,3,0,,,,127.0.0.1:18092,,http,,,,,,,,0,0,0,,,0,,0,0,0,0,0,0,0,0,1,1,,,",
        );
        check(
            "app/plain",
            "app,s4,0,0,0,1,,1,83,116,,0,,0,0,0,0,no check,1,1,0,,,5,,,1,5,4,,1,,2,1,,1,,,,0,1,0,0,0,0,,,,1,0,0,,,,,0,,,0,0,0,0,,,,,,,,,,,,127.0.0.1:18091,,http,,,,,,,,0,1,0,,,0,,0,0,0,0,0,0,0,0,1,1,,,",
        );
        check(
            "app/BACKEND",
            "app,BACKEND,0,0,0,1,200,5,415,580,0,0,,0,0,0,0,UP,11,2,0,,0,5,0,,1,5,0,,5,,1,5,,5,,,,0,5,0,0,0,0,,,,5,0,0,0,0,0,0,0,,,0,0,0,0,,,,,,,,,,,,,,http,roundrobin,,,,,,,0,5,0,0,0,,,0,0,0,0,0,,,,,11,0,0,0",
        );
        check(
            "tcp/t1",
            "tcpapp,t2,0,0,0,0,,0,0,0,,0,,0,0,0,0,DOWN,1,1,0,1,1,3,3,,1,6,2,,0,,2,0,,0,L4CON,,0,,,,,,,,,,,0,0,,,,,-1,Connection refused,,0,0,0,0,,,,Layer4 connection problem,,3,4,0,,,,127.0.0.1:18099,,tcp,,,,,,,,0,0,0,,,0,,0,0,0,0,0,0,0,0,1,1,,,",
        );
        check(
            "tcp/BACKEND",
            "tcpapp,BACKEND,0,0,0,1,10,5,400,565,0,0,,0,0,0,0,UP,1,1,0,,0,5,0,,1,6,0,,5,,1,5,,5,,,,,,,,,,,,,,0,0,0,0,0,0,0,,,0,0,0,0,,,,,,,,,,,,,,tcp,roundrobin,,,,,,,0,5,0,,,,,0,0,0,0,0,,,,,1,0,0,0",
        );
        check(
            "tcp/resting",
            "tcpapp,t1,0,0,0,0,,0,0,0,,0,,0,0,0,0,MAINT,0,1,0,0,3,0,1,,1,6,1,,0,,2,0,,0,,,,,,,,,,,,,,0,0,,,,,-1,,,0,0,0,0,,,,,,,,,,,,127.0.0.1:18091,,tcp,,,,,,,,0,0,0,,,0,,0,0,0,0,0,0,0,0,1,0,,,",
        );
    }

    #[test]
    fn only_what_needs_quotes_has_them() {
        let check = |text: &str, expected: &str| {
            let mut out = String::new();
            quoted(&mut out, text);
            assert_eq!(out, expected);
        };
        check("plain text", "plain text");
        check("a,b", "\"a,b\"");
        check("say \"hi\"", "\"say \"\"hi\"\"\"");
        check("two\nlines", "two lines");
    }
}
