//! Sessions that keep a state from one step to the next, against the same sums done here.

use super::builder::{Builder, Size};
use super::rules::runtime;
use crate::error::{Class, Error};
use crate::onnx::{ElementType, Model};
use crate::runtime::{Session, Tensor};

/// `m_ = m + x`, `w_ = w + m_`, `t_ = t + 1`; `loss` is the sum of `w_ - 2 w`, which reads `w` late.
fn accumulator() -> Model {
    let float = ElementType::Float;
    Builder::new(17)
        .input_of("x", float, &[Size::Named("k")])
        .input("w", &[2, 3])
        .input("m", &[2, 3])
        .input_of("t", ElementType::Int64, &[1.into()])
        .ints("one", &[1])
        .node("Add", "t one -> t_", &[])
        .node("Add", "m x -> m_", &[])
        .node("Add", "w m_ -> w_", &[])
        .node("Sub", "w_ w -> moved", &[])
        .node("Sub", "moved w -> rest", &[])
        .node("ReduceSum", "rest -> loss", &[])
        .output("w_")
        .output("loss")
        .output_of("t_", ElementType::Int64)
        .output("m_")
        .model()
}

fn floats(shape: &[usize], numbers: &[f64]) -> Tensor {
    Tensor::from_f64(ElementType::Float, shape, numbers).expect("a tensor")
}

fn named(name: &str, tensor: Tensor) -> (String, Tensor) {
    (name.to_owned(), tensor)
}

fn names<const N: usize>(names: [&str; N]) -> Vec<String> {
    names.map(str::to_owned).into()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(input, output): &(&str, &str)| ((*input).to_owned(), (*output).to_owned());
    pairs.iter().map(owned).collect()
}

const PAIRS: [(&str, &str); 3] = [("m", "m_"), ("t", "t_"), ("w", "w_")];

/// The same sums.
#[derive(Clone, Debug, PartialEq)]
struct Expected {
    w: Vec<f64>,
    m: Vec<f64>,
    t: f64,
}

impl Expected {
    fn new(first: f64) -> Expected {
        Expected {
            w: (0..6).map(|i| first + f64::from(i)).collect(),
            m: vec![first; 6],
            t: 7.0,
        }
    }

    fn values(&self) -> Vec<(String, Tensor)> {
        vec![
            named("w", floats(&[2, 3], &self.w)),
            named("m", floats(&[2, 3], &self.m)),
            named(
                "t",
                Tensor::from_f64(ElementType::Int64, &[1], &[self.t]).expect("a tensor"),
            ),
        ]
    }

    fn step(&mut self, x: &[f64; 3]) -> f64 {
        let before = self.w.clone();
        for i in 0..6 {
            self.m[i] += x[i % 3];
            self.w[i] += self.m[i];
        }
        self.t += 1.0;
        let rest = self.w.iter().zip(&before).map(|(new, old)| new - 2.0 * old);
        rest.sum()
    }

    fn assert_is_state_of(&self, session: &mut Session) {
        let state = session.state(&[]).expect("the state");
        let order: Vec<&str> = state.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(order, ["m", "t", "w"]);
        let of = |at: usize| state[at].1.to_f64();
        assert_eq!(state[1].1.element(), ElementType::Int64);
        assert_eq!(state[2].1.shape(), [2, 3]);
        let found = Expected {
            m: of(0),
            t: of(1)[0],
            w: of(2),
        };
        assert_eq!(found, *self);
    }
}

fn kept(start: &Expected) -> Session {
    let session = runtime().session(&accumulator(), "an accumulator");
    let mut session = session.expect("a session");
    let kept = session.keep(&pairs(&PAIRS), start.values());
    kept.expect("the state is kept");
    session
}

fn step(session: &mut Session, expected: &mut Expected, x: [f64; 3]) {
    let read = session.step(&[named("x", floats(&[3], &x))], &names(["loss"]));
    let read = read.expect("a step");
    assert_eq!(read.len(), 1);
    assert_eq!(read[0].0, "loss");
    assert_eq!(read[0].1.to_f64(), [expected.step(&x)]);
}

#[test]
fn steps_move_the_state_on() {
    let mut expected = Expected::new(1.0);
    let mut session = kept(&expected);
    expected.assert_is_state_of(&mut session);
    for number in 0..5 {
        let number = f64::from(number);
        step(&mut session, &mut expected, [number, -2.0, 0.5]);
        expected.assert_is_state_of(&mut session);
    }
    // Outputs that are state can be read too, and nothing has to be.
    let read = names(["t_", "w_", "loss", "w_"]);
    let inputs = [named("x", floats(&[3], &[1.0; 3]))];
    let read = session.step(&inputs, &read).expect("a step");
    let loss = expected.step(&[1.0; 3]);
    let numbers: Vec<_> = read.iter().map(|(_, tensor)| tensor.to_f64()).collect();
    let w = &expected.w;
    assert_eq!(
        numbers,
        [vec![expected.t], w.clone(), vec![loss], w.clone()]
    );
    assert!(session.step(&inputs, &[]).expect("a step").is_empty());
    expected.step(&[1.0; 3]);
    expected.assert_is_state_of(&mut session);
}

#[test]
fn a_run_leaves_the_state_alone() {
    let mut expected = Expected::new(1.0);
    let mut session = kept(&expected);
    step(&mut session, &mut expected, [1.0, 2.0, 3.0]);
    let mut other = Expected::new(-4.0);
    let mut inputs = other.values();
    inputs.push(named("x", floats(&[3], &[0.5; 3])));
    let outputs = session.run(&inputs).expect("a run");
    let loss = other.step(&[0.5; 3]);
    let found = outputs.iter().find(|(name, _)| name == "loss");
    assert_eq!(found.expect("the loss").1.to_f64(), [loss]);
    expected.assert_is_state_of(&mut session);
    step(&mut session, &mut expected, [1.0, 2.0, 3.0]);
    expected.assert_is_state_of(&mut session);
}

#[test]
fn a_state_is_read_in_part_and_replaced() {
    let mut expected = Expected::new(1.0);
    let mut session = kept(&expected);
    for replaced in 0..3 {
        for _ in 0..replaced {
            step(&mut session, &mut expected, [1.0, 2.0, 3.0]);
        }
        expected.m = vec![-3.0; 6];
        let values = vec![named("m", floats(&[2, 3], &expected.m))];
        session.set_state(values).expect("other values");
        expected.assert_is_state_of(&mut session);
        step(&mut session, &mut expected, [0.0, 2.0, 0.0]);
        step(&mut session, &mut expected, [0.0, 3.0, 0.0]);
        let some = session.state(&names(["w", "t"])).expect("a part");
        assert_eq!(some[0], named("w", floats(&[2, 3], &expected.w)));
        assert_eq!(some[1].1.to_f64(), [expected.t]);
    }
    let mut other = Expected::new(20.0);
    let kept = session.keep(&pairs(&PAIRS), other.values());
    kept.expect("another state");
    step(&mut session, &mut other, [1.0, 2.0, 3.0]);
    other.assert_is_state_of(&mut session);
}

/// It fails in its midst: what is independent of `x` has been computed.
#[test]
fn a_step_that_fails_leaves_the_state_as_it_was() {
    let mut expected = Expected::new(1.0);
    let mut session = kept(&expected);
    for _ in 0..4 {
        let wrong = session.step(&[named("x", floats(&[4], &[1.0; 4]))], &names(["loss"]));
        match wrong {
            Err(Error::Runtime { reason, .. }) => {
                assert!(reason.contains("an accumulator failed to run"), "{reason}");
            }
            other => panic!("{other:?}"),
        }
        expected.assert_is_state_of(&mut session);
        step(&mut session, &mut expected, [1.0, -1.0, 2.0]);
        step(&mut session, &mut expected, [0.5, 0.0, 2.0]);
        expected.assert_is_state_of(&mut session);
    }
}

/// An output whose sizes are only known when it is made.
#[test]
fn a_state_of_other_sizes_is_refused_when_it_is_made() {
    let model = Builder::new(17)
        .input_of("w", ElementType::Float, &[Size::Named("n")])
        .input_of("x", ElementType::Float, &[Size::Named("k")])
        .node("Concat", "w x -> w_", &[("axis", 0.into())])
        .output("w_")
        .model();
    let mut session = runtime().session(&model, "it").expect("a session");
    let start = || vec![named("w", floats(&[2], &[1.0, 2.0]))];
    session.keep(&pairs(&[("w", "w_")]), start()).expect("kept");
    let longer = session.step(&[named("x", floats(&[1], &[3.0]))], &[]);
    assert_eq!(longer.expect_err("longer").class(), Class::Runtime);
    assert_eq!(session.state(&[]).expect("the state"), start());
    let same = [named("x", floats(&[0], &[]))];
    session.step(&same, &[]).expect("as long");
    assert_eq!(session.state(&[]).expect("the state"), start());
}

#[test]
fn two_states_alternate() {
    let mut expected = [Expected::new(1.0), Expected::new(-8.0)];
    let mut sessions = [kept(&expected[0]), kept(&expected[1])];
    for number in 0..6 {
        for (at, session) in sessions.iter_mut().enumerate() {
            let x = [f64::from(number), at as f64, -1.0];
            step(session, &mut expected[at], x);
        }
    }
    for (expected, session) in expected.iter().zip(&mut sessions) {
        expected.assert_is_state_of(session);
    }
}

fn usage<T>(result: crate::Result<T>) -> String {
    match result {
        Err(Error::Usage(message)) => message,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it is accepted"),
    }
}

#[test]
fn what_cannot_be_kept_is_named() {
    let session = runtime().session(&accumulator(), "an accumulator");
    let mut session = session.expect("a session");
    let start = || Expected::new(0.0).values();
    let mut refused = |wanted: &[(&str, &str)], start: Vec<(String, Tensor)>, said: &str| {
        let message = usage(session.keep(&pairs(wanted), start));
        assert!(message.starts_with("an accumulator: "), "{message}");
        assert!(message.contains(said), "{message}");
    };
    refused(&[], start(), "no input is named");
    refused(
        &[("v", "w_")],
        start(),
        "there is no input 'v', but 'x', 'w', 'm', 't'",
    );
    refused(&[("w", "v_")], start(), "there is no output 'v_', but 'w_'");
    refused(
        &[("w", "w_"), ("w", "m_")],
        start(),
        "input 'w' is named twice",
    );
    refused(
        &[("w", "w_"), ("m", "w_")],
        start(),
        "output 'w_' is named twice",
    );
    refused(&[("w", "w_")], start(), "'m' has a value but is not kept");
    refused(&PAIRS, start().split_off(1), "'w' has no value");
    refused(&[("w", "t_")], start(), "the output is t_: int64[1]");
    let wide = || vec![named("w", floats(&[2, 4], &[0.0; 8]))];
    refused(
        &[("w", "w_")],
        wide(),
        "the value w: float32[2, 4] cannot be kept: the input is w: float32[2, 3]",
    );
    let nothing = usage(session.state(&[]));
    assert!(nothing.contains("no state is kept"), "{nothing}");
}

#[test]
fn steps_and_values_that_do_not_fit_are_named() {
    let expected = Expected::new(2.0);
    let mut session = kept(&expected);
    let x = || named("x", floats(&[3], &[1.0; 3]));
    let w = || named("w", floats(&[2, 3], &[0.0; 6]));
    let mut refused = |inputs: &[(String, Tensor)], read: &str, said: &str| {
        let message = usage(session.step(inputs, &names([read])));
        assert!(message.contains(said), "{message}");
    };
    refused(&[x(), w()], "loss", "input 'w' is state");
    refused(&[x(), x()], "loss", "input 'x' is named twice");
    refused(&[], "loss", "input 'x' has no value");
    refused(
        &[named("y", floats(&[3], &[1.0; 3]))],
        "loss",
        "there is no input 'y', but 'x'",
    );
    refused(
        &[x()],
        "norm",
        "there is no output 'norm', but 'w_', 'loss'",
    );
    let message = usage(session.state(&names(["w", "x"])));
    assert!(
        message.contains("there is no state 'x', but 'm', 't', 'w'"),
        "{message}"
    );
    let mut refused = |values, said: &str| {
        let message = usage(session.set_state(values));
        assert!(message.contains(said), "{message}");
    };
    refused(vec![w(), x()], "there is no state 'x'");
    refused(vec![w(), w()], "value 'w' is named twice");
    refused(
        vec![w(), named("m", floats(&[3, 2], &[0.0; 6]))],
        "the value m: float32[3, 2] does not replace m: float32[2, 3]",
    );
    expected.assert_is_state_of(&mut session);
}
