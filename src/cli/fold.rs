//! Long lines on a terminal, folded under where their text begins.

/// `text` with every line of more than `columns` folded at a space. What follows stands under the last column of the
/// line that it continues, so that a table stays one. Escape sequences take no room; a word is never cut.
pub(super) fn fold(text: &str, columns: usize) -> String {
    text.split_inclusive('\n').map(|line| folded(line, columns)).collect()
}

fn folded(line: &str, columns: usize) -> String {
    let cells = cells(line);
    if cells.iter().filter(|cell| cell.is_seen).count() <= columns {
        return line.to_owned();
    }
    let hang = hang(&cells, columns);
    let mut out = String::with_capacity(line.len() + hang);
    let mut column = 0;
    let mut broke = false;
    for (at, cell) in cells.iter().enumerate() {
        // What stood in the gap of two columns has no room on either line.
        if broke && cell.text == " " {
            continue;
        }
        let breaks = cell.text == " " && column > hang && column + 1 + next_word(&cells[at + 1..]) > columns;
        if breaks {
            out.push('\n');
            out.push_str(&" ".repeat(hang));
            column = hang;
            broke = true;
        } else {
            broke = broke && !cell.is_seen;
            out.push_str(cell.text);
            column += usize::from(cell.is_seen);
        }
    }
    out
}

/// A character, or an escape sequence.
struct Cell<'t> {
    text: &'t str,
    is_seen: bool,
}

fn cells(line: &str) -> Vec<Cell<'_>> {
    let mut cells = Vec::new();
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        // ECMA-48, 5.4: a control sequence ends at its first letter. Ours are colours.
        let length = match rest.strip_prefix("\u{1b}[").and_then(|tail| tail.find(char::is_alphabetic)) {
            Some(end) => end + 3,
            None => first.len_utf8(),
        };
        let (text, tail) = rest.split_at(length);
        cells.push(Cell { text, is_seen: !text.starts_with('\u{1b}') && text != "\n" });
        rest = tail;
    }
    cells
}

/// How far the next word reaches, with the spaces before it.
fn next_word(cells: &[Cell<'_>]) -> usize {
    let gap = cells.iter().take_while(|cell| cell.text == " ").count();
    let word = cells[gap..].iter().take_while(|cell| cell.text != " " && cell.text != "\n");
    gap + word.filter(|cell| cell.is_seen).count()
}

/// Where the last column of a line begins: after the last gap of two spaces or more in its first two thirds.
fn hang(cells: &[Cell<'_>], columns: usize) -> usize {
    let seen: Vec<&str> = cells.iter().filter(|cell| cell.is_seen).map(|cell| cell.text).collect();
    let mut hang = 0;
    for at in 0..seen.len().min(columns * 2 / 3) {
        let begins = seen[at] != " " && (at < 2 || (seen[at - 1] == " " && seen[at - 2] == " "));
        if begins && at >= 2 {
            // An arrow belongs to what it points at.
            hang = if seen[at] == "→" { at + 2 } else { at };
        }
    }
    hang
}

#[cfg(test)]
mod tests {
    use super::fold;

    #[test]
    fn a_short_line_stays_as_it_is() {
        let text = "  port 63011  whole  leads to 3389\n\nand more\n";
        assert_eq!(fold(text, 40), text);
    }

    #[test]
    fn a_long_line_goes_on_under_its_last_column() {
        let text = "  vm-nic  interface  has no way out to the internet\n";
        assert_eq!(
            fold(text, 36),
            "  vm-nic  interface  has no way out\n                     to the internet\n"
        );
    }

    #[test]
    fn an_arrow_stays_with_what_it_points_at() {
        let text = "2  create  lb-jump  → frontend one on two, pool three\n";
        assert_eq!(
            fold(text, 40),
            "2  create  lb-jump  → frontend one on\n                      two, pool three\n"
        );
    }

    #[test]
    fn a_gap_where_it_is_folded_is_left_out() {
        let text = "  done  CNAME jump.cloudapp.azure.com  ttl 30s\n";
        assert_eq!(fold(text, 40), "  done  CNAME jump.cloudapp.azure.com\n        ttl 30s\n");
    }

    #[test]
    fn colours_take_no_room() {
        let plain = "  aa  bbbb cccc\n";
        let painted = "  \u{1b}[1maa\u{1b}[0m  \u{1b}[32mbbbb cccc\u{1b}[0m\n";
        assert_eq!(fold(painted, 15), painted);
        assert_eq!(fold(plain, 11), "  aa  bbbb\n      cccc\n");
        assert_eq!(fold(painted, 11), "  \u{1b}[1maa\u{1b}[0m  \u{1b}[32mbbbb\n      cccc\u{1b}[0m\n");
    }

    #[test]
    fn a_word_that_is_too_long_is_not_cut_and_nothing_is_lost() {
        let text = "a  bb contoso-jump.westeurope.cloudapp.azure.com (TTL 30)\n";
        let folded = fold(text, 20);
        assert!(folded.contains("contoso-jump.westeurope.cloudapp.azure.com"), "{folded}");
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words(&folded), words(text));
        assert!(folded.ends_with('\n') && !folded.ends_with("\n\n"), "{folded}");
    }
}
