//! AMF0 values by table, round trips, bounds.

use proptest::prelude::*;

use super::*;

fn read(bytes: &[u8]) -> Result<(Value, usize), Error> {
    decode(bytes, Limits::default())
}

fn read_all(bytes: &[u8]) -> Result<Vec<Value>, Error> {
    decode_all(bytes, Limits::default())
}

fn encoded(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    encode(value, &mut out);
    out
}

fn check(bytes: &[u8], want: Value) {
    assert_eq!(read(bytes), Ok((want.clone(), bytes.len())), "{bytes:?}");
    assert_eq!(encoded(&want), bytes, "{want:?}");
    for cut in 0..bytes.len() {
        // An object may end without its end marker, at a property's border.
        if let Ok((value, used)) = read(&bytes[..cut]) {
            assert!(value.as_object().is_some() && used == cut, "{bytes:?}");
        }
    }
}

#[test]
fn each_type_reads_and_writes_as_the_specification_says() {
    check(&[0, 0x40, 0x59, 0, 0, 0, 0, 0, 0], Value::Number(100.0));
    check(&[1, 1], Value::Boolean(true));
    check(&[2, 0, 2, b'h', b'i'], "hi".into());
    check(
        &[3, 0, 1, b'a', 5, 0, 1, b'b', 1, 0, 0, 0, 9],
        Object::new().with("a", Value::Null).with("b", false).into(),
    );
    check(&[5], Value::Null);
    check(&[6], Value::Undefined);
    check(
        &[8, 0, 0, 0, 1, 0, 1, b'k', 6, 0, 0, 9],
        Value::EcmaArray(Object::new().with("k", Value::Undefined)),
    );
    check(
        &[10, 0, 0, 0, 2, 5, 1, 1],
        Value::StrictArray(vec![Value::Null, true.into()]),
    );
    check(
        &[11, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xc4],
        Value::Date {
            millis: 0.0,
            zone: -60,
        },
    );
    check(&[13], Value::Unsupported);
    check(&[15, 0, 0, 0, 1, b'x'], Value::Xml("x".to_owned()));
    check(
        &[16, 0, 1, b'C', 0, 1, b'k', 5, 0, 0, 9],
        Value::TypedObject {
            class: "C".to_owned(),
            object: Object::new().with("k", Value::Null),
        },
    );
}

#[test]
fn what_peers_get_wrong_is_understood() {
    // A count that is no count, as FFmpeg and others write for live streams.
    let (value, _) = read(&[8, 0xff, 0xff, 0xff, 0xff, 0, 1, b'k', 5, 0, 0, 9]).unwrap();
    assert_eq!(value.as_object().map(Object::len), Some(1));
    // The last object without its end.
    let (value, used) = read(&[3, 0, 1, b'k', 5]).unwrap();
    assert_eq!((value.as_object().map(Object::len), used), (Some(1), 5));
    // Bytes that are no UTF-8.
    let (value, _) = read(&[2, 0, 2, 0xff, b'a']).unwrap();
    assert_eq!(value.as_str(), Some("\u{fffd}a"));
    // An empty key that is no end.
    let (value, _) = read(&[3, 0, 0, 5, 0, 0, 9]).unwrap();
    assert!(value.as_object().unwrap().get("").unwrap().is_null());
    // A key twice.
    let object = Object::new().with("k", 1.0).with("k", 2.0);
    assert_eq!(object.get("k").and_then(Value::as_f64), Some(2.0));
    // A reference is skipped over.
    let values = read_all(&[7, 0, 1, 5]).unwrap();
    assert_eq!(values, [Value::Unsupported, Value::Null]);
}

#[test]
fn long_strings_are_written_as_such_and_long_keys_cut() {
    let text = "é".repeat(40_000);
    let bytes = encoded(&text.as_str().into());
    assert_eq!(bytes[..5], [12, 0, 1, 0x38, 0x80]);
    assert_eq!(read(&bytes).unwrap().0.as_str(), Some(&*text));
    let object = Object::new().with(text, Value::Null);
    let (value, used) = read(&encoded(&object.into())).unwrap();
    let key = value.as_object().unwrap().iter().next().unwrap().0.len();
    assert_eq!((key, used), (65_534, 1 + 2 + 65_534 + 1 + 3));
}

/// Arrays of one value each, `depth` of them.
fn nested(depth: usize) -> Vec<u8> {
    let mut bytes = [10, 0, 0, 0, 1].repeat(depth);
    bytes.push(5);
    bytes
}

#[test]
fn nesting_and_counts_are_bounded() {
    // The few bytes a level that overflow the stack of naive readers.
    let Limits { depth, values } = Limits::default();
    assert_eq!(read(&nested(100_000)), Err(Error::TooDeep(depth)));
    let objects = [3, 0, 1, b'k'].repeat(100_000);
    assert_eq!(read(&objects), Err(Error::TooDeep(depth)));
    assert!(read(&nested(depth)).is_ok());
    assert_eq!(read(&nested(depth + 1)), Err(Error::TooDeep(depth)));

    let announced = [10, 0xff, 0xff, 0xff, 0xff, 5, 5];
    assert_eq!(read(&announced), Err(Error::Truncated));
    let many = [&[10, 0, 1, 0, 0][..], &[5; 65_536]].concat();
    assert_eq!(read(&many), Err(Error::TooManyValues(values)));
    let flat = vec![5; values + 1];
    let (read_values, error) = decode_some(&flat, Limits::default());
    assert_eq!(
        (read_values.len(), error),
        (values, Some(Error::TooManyValues(values)))
    );
    let long = [12, 0xff, 0xff, 0xff, 0xff, b'x'];
    assert_eq!(read(&long), Err(Error::Truncated));
}

#[test]
fn limits_are_what_was_asked_for() {
    let limits = Limits::new(2, 4);
    assert!(decode_all(&nested(2), limits).is_ok());
    assert_eq!(decode_all(&nested(3), limits), Err(Error::TooDeep(2)));
    assert!(decode_all(&[5; 4], limits).is_ok());
    assert_eq!(decode_all(&[5; 5], limits), Err(Error::TooManyValues(4)));
}

/// Whatever is asked for, the deepest value fits into a small stack at all that
/// is done with one.
#[test]
fn no_limit_lets_a_value_overflow_a_stack() {
    let most = Limits::new(usize::MAX, usize::MAX);
    assert_eq!((most.depth(), most.values()), (64, 1 << 20));
    // Objects take more of it than arrays.
    let mut objects = [16, 0, 0, 0, 1, b'k'].repeat(most.depth());
    objects.push(5);
    let whole = move || {
        for bytes in [nested(most.depth()), objects] {
            let (value, used) = decode(&bytes, most).unwrap();
            assert_eq!(used, bytes.len());
            let copy = value.clone();
            assert_eq!(copy, value);
            assert!(format!("{value:?} {value:#?}").contains("Null"));
            let again = decode(&encoded(&value), most).unwrap().0;
            assert_eq!(again, value);
        }
        assert_eq!(
            decode(&nested(100_000), most),
            Err(Error::TooDeep(most.depth()))
        );
    };
    let thread = std::thread::Builder::new().stack_size(256 << 10);
    thread.spawn(whole).unwrap().join().unwrap();
}

#[test]
fn values_before_an_error_are_kept() {
    let bytes = [2, 0, 1, b'a', 5, 0x11, 1, 2];
    let (values, error) = decode_some(&bytes, Limits::default());
    assert_eq!(values, ["a".into(), Value::Null]);
    assert_eq!(error, Some(Error::UnknownMarker(0x11)));
    assert_eq!(read_all(&bytes), Err(Error::UnknownMarker(0x11)));
    assert_eq!(read_all(&[]), Ok(Vec::new()));
    assert_eq!(read(&[]), Err(Error::Truncated));
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        (-1e12..1e12_f64).prop_map(Value::Number),
        any::<bool>().prop_map(Value::Boolean),
        ".{0,20}".prop_map(Value::String),
        Just(Value::Null),
        Just(Value::Undefined),
        Just(Value::Unsupported),
        (0.0..1e15_f64, any::<i16>()).prop_map(|(millis, zone)| Value::Date { millis, zone }),
        ".{0,20}".prop_map(Value::Xml),
    ];
    leaf.prop_recursive(5, 60, 8, |inner| {
        let object = prop::collection::vec((".{1,8}", inner.clone()), 0..8).prop_map(Object);
        prop_oneof![
            object.clone().prop_map(Value::Object),
            object.clone().prop_map(Value::EcmaArray),
            prop::collection::vec(inner, 0..8).prop_map(Value::StrictArray),
            (".{0,8}", object).prop_map(|(class, object)| Value::TypedObject { class, object }),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_reads_the_same(values in prop::collection::vec(value(), 0..5)) {
        let mut bytes = Vec::new();
        for value in &values {
            encode(value, &mut bytes);
        }
        prop_assert_eq!(read_all(&bytes), Ok(values));
    }

    #[test]
    fn mutated_values_are_read_without_a_panic(
        value in value(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = encoded(&value);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        crate::fuzz::amf0(&bytes);
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        crate::fuzz::amf0(&bytes);
    }
}
