use super::super::parse::parse;
use super::*;

fn now() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap()
}

/// A table `T` of a moment, a text and a number.
fn source(name: &str) -> Option<Table> {
    let row = |minutes: i64, text: &str, number: i64| {
        vec![
            Scalar::Moment(now() - time::Duration::minutes(minutes)),
            Scalar::text(text),
            Scalar::Number(number),
        ]
    };
    let columns = [("TimeGenerated", Kind::Datetime), ("Text", Kind::Text), ("Number", Kind::Int)];
    (name == "T").then(|| Table {
        columns: columns.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect(),
        rows: vec![
            row(30, "Failed password for root from 192.0.2.1", 3),
            row(20, "failed PASSWORDS", 1),
            row(10, "", 2),
            row(0, "it's \"quoted\" \\ here", 2),
        ],
    })
}

fn ask(query: &str) -> Result<Table, Refused> {
    evaluate(&parse(query)?, source, now())
}

/// The first column of what comes out.
fn first(query: &str) -> Vec<String> {
    let table = ask(query).unwrap_or_else(|refused| panic!("{query}: {}", refused.shown()));
    table
        .rows
        .iter()
        .map(|row| match row.first() {
            Some(Scalar::Text(text)) => text.clone(),
            Some(other) => other.json().to_string(),
            None => String::new(),
        })
        .collect()
}

fn refused(query: &str) -> String {
    ask(query).err().unwrap_or_else(|| panic!("{query} was taken")).shown()
}

fn count(predicate: &str) -> String {
    first(&format!("T | where {predicate} | summarize count()")).remove(0)
}

#[test]
fn predicates_hold_as_documented() {
    for (predicate, held) in [
        ("Number == 2", "2"),
        ("Number != 2", "2"),
        ("Number >= 2 and Number < 3", "2"),
        // `and` binds more tightly than `or`.
        ("Number == 1 or Number == 3 and Text == 'no'", "1"),
        ("(Number == 1 or Number == 3) and Text == 'no'", "0"),
        ("Number in (1, 3)", "2"),
        ("Number between (2 .. 3)", "3"),
        // A whole term, in any case; a part of one is none.
        ("Text has 'password'", "1"),
        ("Text has 'FAILED PASSWORD'", "1"),
        ("Text contains 'password'", "2"),
        ("Text startswith 'failed'", "2"),
        ("Text startswith_cs 'Failed'", "1"),
        ("TimeGenerated > ago(20m)", "2"),
        ("TimeGenerated >= ago(20m)", "3"),
        ("TimeGenerated >= datetime(2027-01-15T07:50:00Z)", "2"),
        ("TimeGenerated < datetime(2027-01-15)", "0"),
        ("not(Text == '')", "3"),
        (r#"Text == 'it\'s "quoted" \\ here'"#, "1"),
        (r#"Text == @'it''s "quoted" \ here'"#, "1"),
        // Null is nobody's equal, and nobody's other.
        ("tolong('x') == 1", "0"),
        ("tolong('x') != 1", "0"),
        ("Number == 1 // and this is a comment\n", "1"),
    ] {
        assert_eq!(count(predicate), held, "{predicate}");
    }
}

#[test]
fn functions_give_what_is_documented() {
    for (expression, value) in [
        ("case(Number > 2, 'many', Number > 1, 'two', 'one')", ["many", "one", "two", "two"]),
        (
            "coalesce(extract('from ([^ ]+)', 1, Text), 'nowhere')",
            ["192.0.2.1", "nowhere", "nowhere", "nowhere"],
        ),
        ("extract('(nothing)', 1, Text)", ["", "", "", ""]),
        ("extract('pass', 0, Text)", ["pass", "", "", ""]),
        ("tostring(Number + 1)", ["4", "2", "3", "3"]),
        ("max_of(Number, 2)", ["3", "2", "2", "2"]),
        ("tolong('7') - 1", ["6", "6", "6", "6"]),
    ] {
        let query = format!(
            "T | extend Value = {expression} | summarize count() by TimeGenerated, Value | order by TimeGenerated asc | summarize by Value, TimeGenerated"
        );
        assert_eq!(first(&query), value, "{expression}");
    }
    assert_eq!(
        first("T | extend Text = tolower(Text) | where Number == 1 | summarize by Text"),
        ["failed passwords"]
    );
}

#[test]
fn summaries_and_orders_are_those_documented() {
    let table = ask("T | summarize sum(Number), Some = sumif(Number, Number > 1), countif(Number == 2), First = min(TimeGenerated) by Found = Number").unwrap();
    let names: Vec<&str> = table.columns.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["Found", "sum_Number", "Some", "countif_", "First"]);
    assert_eq!(table.rows.len(), 3);
    assert_eq!(table.rows[1][2], Scalar::Number(0));
    // Descending unless told otherwise.
    assert_eq!(first("T | summarize count() by Number | order by Number"), ["3", "2", "1"]);
    assert_eq!(first("T | summarize count() by Number | sort by Number asc"), ["1", "2", "3"]);
    assert_eq!(first("T | summarize by Number | top 2 by Number"), ["3", "2"]);
    assert_eq!(first("T | summarize by Number | take 1"), ["3"]);
    // Of nothing there is one row without groups, and none with them.
    assert_eq!(first("T | where false | summarize count()"), ["0"]);
    assert!(first("T | where false | summarize count() by Number").is_empty());
}

#[test]
fn everything_else_is_refused() {
    for (query, said) in [
        ("U | take 1", "SEM0100: 'take' operator: Failed to resolve table or column expression named 'U'"),
        (
            "T | where Missing == 1",
            "SEM0100: 'where' operator: Failed to resolve scalar expression named 'Missing'",
        ),
        ("T | where text == ''", "named 'text'"),
        // Names of one `extend` are not seen by their neighbours, and those of groups are gone after it.
        ("T | extend A = 1, B = A", "SEM0100: 'extend' operator"),
        ("T | summarize count() by Number | where Text == ''", "SEM0100: 'where' operator"),
        ("T | where Number", "SEM0025"),
        ("T | where Number == 'x'", "SEM0064"),
        ("T | where Text > 1", "SEM0064"),
        ("T | where TimeGenerated > '2026-01-01'", "SEM0064"),
        ("T | extend A = case(Number > 1, 'a', 2)", "SEM0025"),
        ("T | extend A = case(Number > 1, 'a')", "SEM0219"),
        ("T | extend A = extract(Text, 1, Text)", "SEM0220"),
        ("T | extend A = extract('(', 1, Text)", "SEM0420"),
        ("T | extend A = upper(Text)", "SEM0260"),
        ("T | summarize dcount(Text)", "SEM0260"),
        ("T | summarize Number", "SEM0040"),
        ("T | summarize sum(Text)", "SEM0025"),
        ("T | project Text", "SYN0002: Query could not be parsed at 'project' on line [1,5]"),
        ("T | join U", "SYN0002"),
        ("let x = 1; T", "SYN0002"),
        ("T | where Number = 1", "SYN0002"),
        ("T | where 'open", "SYN0002"),
        ("T | where Text == '\\d'", "SYN0002"),
        ("T | where Number == 1 garbage", "SYN0002"),
        ("T | top by Number", "SYN0002"),
        ("T | where Number == 1 |", "SYN0002"),
        ("T | where TimeGenerated > datetime(yesterday)", "SYN0002"),
        ("T | where TimeGenerated > ago(1w)", "SYN0002"),
        ("", "SYN0002"),
    ] {
        let found = refused(query);
        assert!(found.contains(said), "{query}: {found}");
    }
}
