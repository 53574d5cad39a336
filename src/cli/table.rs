//! Aligned columns.

use super::output::Tone;

/// Rows of cells, each in its tone; the last column is not padded.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Vec<(String, Tone)>>,
}

impl Table {
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = (String, Tone)>) {
        self.rows.push(cells.into_iter().collect());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// As [`Self::render`], for a terminal of so many `columns`: where the others leave its last column no third of them,
    /// that stands below, and each row stays one that can be read.
    pub(crate) fn render_within(&self, columns: Option<usize>) -> String {
        let widths = self.widths();
        let others = widths.iter().rev().skip(1).filter(|width| **width > 0);
        let begins = GAP + others.map(|width| width + GAP).sum::<usize>();
        match columns {
            Some(columns) if begins > columns * 2 / 3 => self.stacked(),
            _ => self.render(),
        }
    }

    fn stacked(&self) -> String {
        let mut out = String::new();
        for row in &self.rows {
            let Some(((last, tone), others)) = row.split_last() else { continue };
            let others: Vec<String> = others
                .iter()
                .filter(|(text, _)| !text.is_empty())
                .map(|(text, tone)| tone.paint(text))
                .collect();
            if !others.is_empty() {
                out.push_str(&format!("  {}\n", others.join("  ")));
            }
            if !last.is_empty() {
                out.push_str(&format!("    {}\n", tone.paint(last)));
            }
        }
        out
    }

    fn widths(&self) -> Vec<usize> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|(text, _)| text.chars().count())
                .max()
                .unwrap_or(0)
        };
        (0..columns).map(width).collect()
    }

    /// The rows, indented by two, columns two apart, a column that is empty in every row left out.
    pub(crate) fn render(&self) -> String {
        let widths = self.widths();
        let mut out = String::new();
        for row in &self.rows {
            let mut line = String::new();
            let mut gap = GAP;
            for (column, (text, tone)) in row.iter().enumerate() {
                if widths[column] == 0 {
                    continue;
                }
                line.push_str(&" ".repeat(gap));
                line.push_str(&tone.paint(text));
                gap = widths[column] - text.chars().count() + GAP;
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }
}

/// Before the first column, and between two.
const GAP: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_column_stands_below_where_there_is_no_room_beside_the_others() {
        let mut table = Table::default();
        let plain = |text: &str| (text.to_owned(), Tone::Plain);
        table.row(["failed", "state", "/var/lib/cnamed", "cannot be written"].map(plain));
        table.row(["", "", "", "next: make room"].map(plain));
        let beside = table.render();
        assert_eq!(beside.lines().next(), Some("  failed  state  /var/lib/cnamed  cannot be written"));
        // The last column begins at the 34th place.
        assert_eq!(table.render_within(None), beside);
        assert_eq!(table.render_within(Some(51)), beside);
        let below = "  failed  state  /var/lib/cnamed\n    cannot be written\n    next: make room\n";
        assert_eq!(table.render_within(Some(50)), below);
        assert_eq!(Table::default().render_within(Some(40)), "");
    }
}
