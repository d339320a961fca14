//! What is said of all positions of an axis. The first reason stays.

use super::types::{Reason, Type, Types, Var};

/// Says something of all positions of an axis.
type Marking = fn(&mut Types, &Type, Reason);

impl Types {
    /// Keeps all positions of `ty`. The first reason stays.
    pub(crate) fn pin(&mut self, ty: &Type, reason: Reason) {
        for id in self.vars(ty) {
            self.var_mut(id).pin.get_or_insert(reason);
        }
    }

    /// Marks the channels of `ty` as influencing each other.
    pub(crate) fn mixing(&mut self, ty: &Type, reason: Reason) {
        for id in self.vars(ty) {
            self.var_mut(id).mixing.get_or_insert(reason);
        }
    }

    /// Marks the channels of `ty` as influencing each other in a way that no twin shows.
    pub(crate) fn unproven(&mut self, ty: &Type, reason: Reason) {
        for id in self.vars(ty) {
            self.var_mut(id).unproven.get_or_insert(reason);
        }
    }

    /// Marks the positions of `ty` as alternatives.
    pub(crate) fn alternatives(&mut self, ty: &Type, reason: Reason) {
        for id in self.vars(ty) {
            self.var_mut(id).alternatives.get_or_insert(reason);
        }
    }

    /// Marks `ty` as meeting something that no change of basis survives.
    pub(crate) fn nonlinear(&mut self, ty: &Type, reason: Reason) {
        for id in self.vars(ty) {
            self.var_mut(id).nonlinear.get_or_insert(reason);
        }
    }

    /// What is said of a variable is said of the term that it stands for.
    pub(super) fn pass_marks(&mut self, var: &Var, term: &Type) {
        let marks: [(Option<Reason>, Marking); 5] = [
            (var.pin, Types::pin),
            (var.mixing, Types::mixing),
            (var.unproven, Types::unproven),
            (var.alternatives, Types::alternatives),
            (var.nonlinear, Types::nonlinear),
        ];
        for (reason, mark) in marks {
            if let Some(reason) = reason {
                mark(self, term, reason);
            }
        }
    }
}

impl Var {
    /// What is said of another variable is said of this one, which becomes the same.
    pub(super) fn take_marks(&mut self, of: &Var) {
        let taken = [
            (&mut self.pin, of.pin),
            (&mut self.mixing, of.mixing),
            (&mut self.unproven, of.unproven),
            (&mut self.alternatives, of.alternatives),
            (&mut self.nonlinear, of.nonlinear),
        ];
        for (own, other) in taken {
            *own = own.or(other);
        }
    }
}
