//! The page of `runtime status`.

use super::parts::fact;
use crate::pages::Paged;
use crate::pages::page::{Page, PagePart, Verdict, VerdictRow};
use crate::report::RuntimeStatus;

impl Paged for RuntimeStatus {
    fn page(&self) -> Page {
        let there = self.providers.iter().filter(|row| row.missing.is_none());
        let there: Vec<&str> = there.map(|row| row.provider.as_str()).collect();
        let version = self.version.as_deref();
        let said = match version {
            Some(version) => format!("onnxruntime {version} can run on {}.", there.join(", ")),
            None => format!(
                "No onnxruntime yet: version {} is installed when it is first needed.",
                self.pinned_version
            ),
        };
        let mut page = Page::new("onnxruntime and its providers".to_owned(), said);
        for row in &self.providers {
            let verdict = match row.missing {
                None => Verdict::Passed,
                Some(_) => Verdict::Open,
            };
            let detail = row.missing.clone().unwrap_or_default();
            page.verdicts.push(VerdictRow::new(
                format!("Provider {}", row.provider),
                verdict,
                detail,
            ));
        }
        page.metric("providers", there.len() as f64);
        let facts = [
            ("Library", self.library.clone()),
            ("Found by", self.source.clone()),
            ("Version", self.version.clone()),
            ("Build", self.build.clone()),
            ("Cache", Some(self.cache.clone())),
        ];
        let facts = facts
            .into_iter()
            .filter_map(|(name, text)| Some(fact(name, text?)));
        page.section("Library", vec![PagePart::Facts(facts.collect())]);
        let devices = self.devices.iter();
        let devices: Vec<_> = devices
            .map(|row| fact(&row.provider, format!("{} {}", row.vendor, row.kind)))
            .collect();
        if !devices.is_empty() {
            page.section("Devices", vec![PagePart::Facts(devices)]);
        }
        page.reproduction.onnxruntime.clone_from(&self.version);
        page
    }
}
