//! Rows for a person.

use std::fmt;

/// Rows whose columns stand below their names.
#[derive(Debug)]
pub(crate) struct Table<const COLUMNS: usize> {
    rows: Vec<[String; COLUMNS]>,
}

impl<const COLUMNS: usize> Table<COLUMNS> {
    pub(crate) fn new(names: [&str; COLUMNS]) -> Self {
        Self { rows: vec![names.map(Into::into)] }
    }

    /// One more row; a cell without anything shows as `-`.
    pub(crate) fn row(&mut self, cells: [String; COLUMNS]) {
        self.rows.push(cells.map(|cell| if cell.is_empty() { "-".into() } else { cell }));
    }
}

impl<const COLUMNS: usize> fmt::Display for Table<COLUMNS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut widths = [0; COLUMNS];
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        for row in &self.rows {
            let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
            writeln!(f, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_their_names() {
        let mut table = Table::new(["NAME", "KEYS"]);
        table.row(["ümlaut".into(), String::new()]);
        table.row(["a".into(), "AKIA".into()]);
        assert_eq!(table.to_string(), "NAME    KEYS\nümlaut  -\na       AKIA\n");
    }
}
