use super::*;

const OTHER: Form = Form { counts: false, limit: OLD_LIMIT };

fn who(number: usize) -> (String, String) {
    (format!("http://127.0.0.1:{number}/v1"), "m".to_owned())
}

#[test]
fn no_more_forms_are_kept_than_there_is_room_for() {
    let forms = Forms::default();
    for number in 1..=MAX_FORMS {
        forms.learn(who(number), OTHER);
        assert_eq!(forms.known().len(), number);
    }
    // Who is known takes no room.
    let newer = Form { limit: NEW_LIMIT, ..OTHER };
    forms.learn(who(1), newer);
    assert_eq!(forms.known().len(), MAX_FORMS);
    assert_eq!(forms.known()[&who(1)], newer);
    forms.learn(who(0), OTHER);
    assert_eq!(*forms.known(), HashMap::from([(who(0), OTHER)]));
}
