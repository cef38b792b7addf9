//! docker's tables, as Go's tabwriter lays them out: cells end at tabs, a column is as wide as its widest
//! cell plus three spaces, and at least ten.
//!
//! Works on text, because the cells of a table may come out of a user's template. A column is a run of
//! neighbouring lines that have a cell there; what follows the last tab of a line is in no column and is not
//! padded.

/// Spaces between two columns.
const PADDING: usize = 3;
/// The least width of a column, its padding included.
const MIN_COLUMN_WIDTH: usize = 10;

/// Replaces the tabs in `text` by spaces that align the columns.
pub(crate) fn align_columns(text: &str) -> String {
    align_with_min_width(text, MIN_COLUMN_WIDTH)
}

/// As [`align_columns`], with columns of at least `min_width`.
pub(crate) fn align_with_min_width(text: &str, min_width: usize) -> String {
    let lines: Vec<Vec<&str>> = text.split('\n').map(|line| line.split('\t').collect()).collect();
    let widths = widths(&lines, min_width);
    let mut aligned = String::with_capacity(text.len() * 2);
    for (row, (cells, widths)) in lines.iter().zip(&widths).enumerate() {
        if row > 0 {
            aligned.push('\n');
        }
        for (column, cell) in cells.iter().enumerate() {
            aligned.push_str(cell);
            // The last cell of a line is in no column.
            let padding = widths.get(column).map_or(0, |width| width.saturating_sub(length(cell)));
            aligned.extend(std::iter::repeat_n(' ', padding));
        }
    }
    aligned
}

/// The widths of each line's columns.
fn widths(lines: &[Vec<&str>], min_width: usize) -> Vec<Vec<usize>> {
    let mut widths: Vec<Vec<usize>> = lines.iter().map(|cells| vec![0; cells.len() - 1]).collect();
    let columns = widths.iter().map(Vec::len).max().unwrap_or(0);
    for column in 0..columns {
        let mut first = 0;
        while first < lines.len() {
            // As in tabwriter, a line without the cell ends the column; the next one has its own width.
            let run = lines[first..].iter().take_while(|cells| cells.len() > column + 1).count();
            let cells = lines[first..first + run].iter().map(|cells| length(cells[column]) + PADDING);
            let width = cells.max().unwrap_or(0).max(min_width);
            for line in &mut widths[first..first + run] {
                line[column] = width;
            }
            first += run.max(1);
        }
    }
    widths
}

fn length(cell: &str) -> usize {
    cell.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        assert_eq!(
            align_columns("REPOSITORY\tTAG\tSIZE\nexample.org/fleet\t1\t4MB\n"),
            "REPOSITORY          TAG       SIZE\nexample.org/fleet   1         4MB\n"
        );
    }

    #[test]
    fn characters_count_and_not_bytes() {
        assert_eq!(align_columns("äöüäöüäöü\tx\nb\ty"), "äöüäöüäöü   x\nb           y");
    }

    #[test]
    fn lines_without_the_cell_end_a_column() {
        assert_eq!(
            align_columns("a\tb\nplain\nlonger than ten\tc"),
            "a         b\nplain\nlonger than ten   c"
        );
        assert_eq!(align_columns(""), "");
        assert_eq!(align_columns("\t\t"), " ".repeat(20));
    }
}
