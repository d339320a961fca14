//! What is said of all positions of an axis. The first reason stays.

use super::types::{Reason, Type, Types, Var};

/// Where a variable keeps what is said of it.
type Mark = fn(&mut Var) -> &mut Option<Reason>;

const MARKS: [Mark; 5] = [
    |var| &mut var.pin,
    |var| &mut var.mixing,
    |var| &mut var.unproven,
    |var| &mut var.alternatives,
    |var| &mut var.nonlinear,
];

impl Types {
    /// Keeps all positions of `ty`.
    pub(crate) fn pin(&mut self, ty: &Type, reason: Reason) {
        self.mark(ty, |var| &mut var.pin, reason);
    }

    /// Marks the channels of `ty` as influencing each other.
    pub(crate) fn mixing(&mut self, ty: &Type, reason: Reason) {
        self.mark(ty, |var| &mut var.mixing, reason);
    }

    /// Marks the channels of `ty` as influencing each other in a way that no twin shows.
    pub(crate) fn unproven(&mut self, ty: &Type, reason: Reason) {
        self.mark(ty, |var| &mut var.unproven, reason);
    }

    /// Marks the positions of `ty` as alternatives.
    pub(crate) fn alternatives(&mut self, ty: &Type, reason: Reason) {
        self.mark(ty, |var| &mut var.alternatives, reason);
    }

    /// Marks `ty` as meeting something that no change of basis survives.
    pub(crate) fn nonlinear(&mut self, ty: &Type, reason: Reason) {
        self.mark(ty, |var| &mut var.nonlinear, reason);
    }

    fn mark(&mut self, ty: &Type, mark: Mark, reason: Reason) {
        for id in self.vars(ty) {
            mark(self.var_mut(id)).get_or_insert(reason);
        }
    }

    /// What is said of a variable is said of the term that it stands for.
    pub(super) fn pass_marks(&mut self, var: &mut Var, term: &Type) {
        for mark in MARKS {
            if let Some(reason) = *mark(var) {
                self.mark(term, mark, reason);
            }
        }
    }
}

impl Var {
    /// What is said of another variable is said of this one, which becomes the same.
    pub(super) fn take_marks(&mut self, of: &mut Var) {
        for mark in MARKS {
            let own = mark(self);
            *own = own.or(*mark(of));
        }
    }
}
