use super::*;
use proptest::prelude::*;

fn any_scopes() -> impl Strategy<Value = Scopes> {
    proptest::sample::subsequence(Scope::ALL.to_vec(), 0..=Scope::ALL.len()).prop_map(|scopes| Scopes::of(&scopes))
}

#[test]
fn a_name_is_read_back_and_the_order_is_that_of_the_names() {
    for scope in Scope::ALL {
        assert_eq!(Scope::parse(scope.as_str()), Some(scope));
    }
    assert!(Scope::ALL.is_sorted_by_key(|scope| scope.as_str()));
    assert_eq!(Scope::parse("Admin"), None);
}

#[test]
fn admin_allows_everything_and_nothing_else_does() {
    for scope in Scope::ALL {
        assert!(Scopes::ALL.allows(scope));
        assert!(!Scopes::NONE.allows(scope));
        assert_eq!(Scopes::of(&[scope]).allows(Scope::Admin), scope == Scope::Admin);
    }
    assert!(!Scopes::DEFAULT.allows(Scope::SettingsRead));
}

#[test]
fn every_unknown_name_is_named() {
    let unknown = Scopes::parse(["chat", "root", "chat", "sudo"]).unwrap_err();
    assert_eq!(unknown.to_string(), "Invalid scopes: root, sudo");
    assert_eq!(Scopes::parse([]).unwrap(), Scopes::NONE);
    assert_eq!(Scopes::parse(["sessions", "chat", "chat"]).unwrap(), Scopes::DEFAULT);
}

proptest! {
    #[test]
    fn names_are_the_set(scopes in any_scopes()) {
        prop_assert_eq!(Scopes::parse(scopes.names()).unwrap(), scopes);
    }

    #[test]
    fn what_is_within_both_opens_what_both_open(one in any_scopes(), other in any_scopes()) {
        for scope in Scope::ALL {
            prop_assert_eq!(one.within(other).allows(scope), one.allows(scope) && other.allows(scope));
        }
    }

    #[test]
    fn within_means_opens_nothing_that_the_other_does_not(inner in any_scopes(), outer in any_scopes()) {
        let opens_more = Scope::ALL.into_iter().any(|scope| inner.allows(scope) && !outer.allows(scope));
        prop_assert_eq!(inner.is_within(outer), !opens_more);
    }
}
