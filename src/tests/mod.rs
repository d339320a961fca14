//! Tests that look inside: every operator's rule, judged by onnxruntime on models made for it.

mod budgets;
mod builder;
mod calibrated;
mod cases;
mod damage;
mod dead;
mod disguises;
mod families;
mod gates;
mod gradients;
mod graphs;
mod held;
mod inputs;
mod layers;
mod masks;
mod proof;
mod recovery;
mod rewrites;
mod rules;
mod sizes;
mod sparsegpt;
mod state;
mod storage;
mod zoo;
