//! Providers that cannot be used, or that leave work to the CPU, as errors.

use super::parity::ProviderParity;
use crate::error::Error;

/// The error for the first provider that could not be used, for those that were asked for by name.
pub(crate) fn unavailable_provider(parity: &[ProviderParity]) -> Option<Error> {
    parity.iter().find_map(|lane| {
        Some(Error::Provider {
            provider: lane.provider.clone(),
            reason: lane.unavailable.clone()?,
            remedy: "or leave the provider out".to_owned(),
        })
    })
}

/// The error for the first provider that left compute nodes to the CPU, where that is refused.
pub(crate) fn refused_fallback(parity: &[ProviderParity], fallback: Fallback) -> Option<Error> {
    if fallback == Fallback::Allowed {
        return None;
    }
    let placements = parity.iter().flat_map(|lane| {
        lane.placement
            .iter()
            .flatten()
            .map(move |place| (lane, place))
    });
    let (lane, place) = placements
        .into_iter()
        .find(|(_, place)| place.on_provider < place.compute_nodes)?;
    Some(Error::Provider {
        provider: lane.provider.clone(),
        reason: format!(
            "{} of {} compute nodes ran on the CPU ({}), where `fallback` refused allows none",
            place.compute_nodes - place.on_provider,
            place.compute_nodes,
            place.elsewhere.join(", ")
        ),
        remedy: "leave `fallback` refused out to accept that".to_owned(),
    })
}

/// Whether nodes may run on the CPU instead of the provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fallback {
    /// They may; the share is reported.
    #[default]
    Allowed,
    /// They may not.
    Refused,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validate::Placement;

    #[test]
    fn a_refused_fallback_is_an_error_whoever_chose_the_provider() {
        let placement = |on_provider| Placement {
            compute_nodes: 3,
            on_provider,
            elsewhere: vec!["Gather".to_owned()],
        };
        let lane = |on_provider| ProviderParity {
            provider: "webgpu".to_owned(),
            unavailable: None,
            placement: Some([placement(3), placement(on_provider)]),
            conditions: Vec::new(),
        };
        assert!(refused_fallback(&[lane(3)], Fallback::Refused).is_none());
        assert!(refused_fallback(&[lane(2)], Fallback::Allowed).is_none());
        let fault = refused_fallback(&[lane(3), lane(2)], Fallback::Refused);
        let message = fault.map(|fault| fault.to_string()).unwrap_or_default();
        assert!(
            message.contains("1 of 3 compute nodes ran on the CPU (Gather)"),
            "{message}"
        );
    }
}
