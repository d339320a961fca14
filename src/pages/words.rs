//! The texts of a document, said in other words.

use super::page::{Figure, Page, PagePart, PageSection, VerdictRow};
use super::rows::{DataCell, DataTable};

impl Page {
    /// Says every text that may come from the library, which names settings, in the words of who reads it.
    #[must_use]
    pub fn in_words(mut self, say: &dyn Fn(&str) -> String) -> Page {
        self.summary = say(&self.summary);
        self.warnings = all(&self.warnings, say);
        verdicts(&mut self.verdicts, say);
        for section in &mut self.sections {
            section.in_words(say);
        }
        self
    }
}

impl PageSection {
    fn in_words(&mut self, say: &dyn Fn(&str) -> String) {
        for part in &mut self.parts {
            match part {
                PagePart::Text(text) => *text = say(text),
                PagePart::Warnings(texts) => *texts = all(texts, say),
                PagePart::Facts(facts) => facts.iter_mut().for_each(|(_, fact)| *fact = say(fact)),
                PagePart::Costs(_) => (),
                PagePart::Verdicts(rows) => verdicts(rows, say),
                PagePart::Table(table)
                | PagePart::Figure(Figure::Lines(_, table) | Figure::Columns(_, table)) => {
                    cells(table, say);
                }
            }
        }
        for within in &mut self.sections {
            within.in_words(say);
        }
    }
}

fn all(texts: &[String], say: &dyn Fn(&str) -> String) -> Vec<String> {
    texts.iter().map(|text| say(text)).collect()
}

fn verdicts(rows: &mut [VerdictRow], say: &dyn Fn(&str) -> String) {
    for row in rows {
        row.detail = say(&row.detail);
    }
}

fn cells(table: &mut DataTable, say: &dyn Fn(&str) -> String) {
    for cell in table.rows.iter_mut().flat_map(|row| &mut row.cells) {
        if let DataCell::Text(text) = cell {
            *text = say(text);
        }
    }
}
