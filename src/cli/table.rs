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

    /// The rows, indented by two, columns two apart, a column that is empty in every row left out.
    pub(crate) fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|(text, _)| text.chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut out = String::new();
        for row in &self.rows {
            let mut line = String::new();
            let mut gap = 2;
            for (column, (text, tone)) in row.iter().enumerate() {
                if widths[column] == 0 {
                    continue;
                }
                line.push_str(&" ".repeat(gap));
                line.push_str(&tone.paint(text));
                gap = widths[column] - text.chars().count() + 2;
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }
}
