//! Commands out of order, unknown, and in other wrappings.

use super::*;

#[test]
fn unknown_commands_are_answered_only_if_an_answer_is_wanted() {
    let mut pair = Pair::live();
    pair.command(0, "makeCoffee", 9.0, vec![Value::Null]);
    pair.command(0, "makeTea", 0.0, vec![Value::Null]);
    pair.command(0, "_result", 3.0, vec![Value::Null]);
    assert_eq!(pair.names(), ["_error"]);
    assert_eq!(pair.session.ignored().commands, 2);
    pair.said.clear();
    pair.command(0, "getStreamLength", 10.0, vec![Value::Null, "cam".into()]);
    pair.command(0, "_checkbw", 11.0, vec![Value::Null]);
    assert_eq!(
        pair.answer(10.0).unwrap().arguments,
        [Value::Null, 0.0.into()]
    );
    assert_eq!(pair.names(), ["_result", "_result"]);
}

#[test]
fn commands_before_connect_change_nothing() {
    let mut pair = Pair::opened();
    for name in [
        "publish",
        "createStream",
        "play",
        "deleteStream",
        "FCUnpublish",
        "closeStream",
    ] {
        pair.command(1, name, 2.0, vec![Value::Null, "cam".into()]);
    }
    pair.send(6, kind::VIDEO, 1, 0, &b"early"[..]);
    assert_eq!(pair.events, []);
    assert_eq!(pair.statuses(), []);
    pair.command(
        0,
        "connect",
        1.0,
        vec![Object::new().with("app", "live").into()],
    );
    pair.command(1, "publish", 0.0, vec![Value::Null, "cam".into()]);
    assert!(matches!(pair.events[..], [Event::Publish(_)]));
}

#[test]
fn commands_may_come_in_amf3_messages() {
    let mut pair = Pair::opened();
    let object = Object::new().with("app", "live");
    for (stream, name, arguments) in [
        (0, "connect", vec![object.into()]),
        (1, "publish", vec![Value::Null, "cam".into()]),
    ] {
        let command = Command {
            name: name.to_owned(),
            transaction: 1.0,
            arguments,
        };
        pair.send(
            3,
            kind::COMMAND_AMF3,
            stream,
            0,
            [&[0], &command.write()[..]].concat(),
        );
    }
    assert!(matches!(pair.events[..], [Event::Publish(_)]));
}

#[test]
fn a_close_while_a_publish_waits_for_its_answer_is_the_last_word() {
    let mut pair = Pair::connected(Object::new().with("app", "live"));
    pair.command(1, "publish", 5.0, vec![Value::Null, "cam".into()]);
    assert!(matches!(pair.events.pop(), Some(Event::Publish(_))));
    pair.session.close(&Farewell::Shutdown);
    pair.session.accept(pair.now);
    assert_eq!(pair.session.poll_transmit(), None);
    let mut late = &[1, 2, 3][..];
    assert_eq!(pair.session.handle_input(&mut late, pair.now), Ok(None));
    assert!(late.is_empty());
}
