//! What the storage ports promise, held against every storage.
//!
//! A suite is a file of plain functions over the ports; it does not know which storage it is run against. This file lists
//! the functions once and the storages once, and makes a test of each pair, so that a failure names both:
//! `contract::sqlite::sessions::append_numbers_without_gaps`. A function that is not listed here is an unused function,
//! and the compiler says so.
//!
//! To add a storage: implement [`backends::Backend`] for it, and [`backends::Persistent`] if closing it loses nothing; then
//! add a line to [`for_every_backend`], at the end of this file.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod api_keys;
mod audit;
mod auth_sessions;
mod backends;
mod claims;
mod competition;
mod fixtures;
mod imports;
mod mcp_servers;
mod memories;
mod model;
mod persistence;
mod search;
mod sessions;
mod settings;
mod tickets;
mod turns;
mod vectors;
mod webhooks;

/// One test for each of the named functions of `suite`.
macro_rules! suite {
    ($backend:ident, $suite:ident: $($name:ident)+) => {
        mod $suite {
            use crate::contract::backends::{Backend, $backend};
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    if !$backend::is_available() {
                        return;
                    }
                    let backend = $backend::fresh().await;
                    crate::contract::$suite::$name(backend.stores()).await;
                }
            )+
        }
    };
}

/// Two tests for each of the named functions of [`search`]: what was just stored is found at once, and it is still found
/// after the storage has done whatever it does in the background to find it faster.
macro_rules! search_suite {
    ($backend:ident: $($name:ident)+) => {
        mod search {
            mod at_once {
                use crate::contract::backends::{Backend, $backend};
                $(
                    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                    async fn $name() {
                        if !$backend::is_available() {
                            return;
                        }
                        let backend = $backend::fresh().await;
                        crate::contract::search::$name(backend.stores(), async || ()).await;
                    }
                )+
            }
            mod settled {
                use crate::contract::backends::{Backend, $backend};
                $(
                    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                    async fn $name() {
                        if !$backend::is_available() {
                            return;
                        }
                        let backend = $backend::fresh().await;
                        crate::contract::search::$name(backend.stores(), async || backend.settle().await).await;
                    }
                )+
            }
        }
    };
}

/// What every index of texts has to pass.
macro_rules! search_contract {
    ($backend:ident) => {
        search_suite! { $backend:
            nothing_is_found_where_nothing_is
            case_does_not_count_in_any_script
            every_character_means_itself
            query_syntax_means_nothing
            one_and_two_characters_are_enough
            white_space_counts
            the_longest_query_is_looked_for_as_a_whole
            parts_of_a_text_in_another_order_are_not_the_text
            every_role_is_searched_and_the_title_is_not
            the_first_matching_message_of_a_session_is_its_hit
            a_text_said_long_ago_is_the_hit_even_if_it_was_said_again
            the_excerpt_is_around_the_hit
            the_end_of_the_longest_text_is_found
            the_newest_activity_comes_first
            the_session_created_later_comes_first_where_activity_is_equal
            what_is_said_later_is_found_too
            removed_messages_are_not_found
            many_removed_messages_do_not_hide_the_one_that_remains
            removal_before_the_storage_settles_leaves_nothing_behind
            what_comes_and_goes_while_the_storage_settles_is_found_or_not
            a_session_of_the_same_id_is_searched_anew
            a_common_word_fills_the_limit_with_the_newest
            a_rare_word_is_found_among_many_messages
        }
    };
}

/// What every storage has to pass.
macro_rules! contract {
    ($backend:ident) => {
        suite! { $backend, sessions:
            a_created_session_is_empty
            create_refuses_an_id_that_is_taken
            append_creates_the_session
            append_changes_the_summary_as_the_domain_says
            append_numbers_without_gaps
            append_numbers_without_gaps_when_fifty_do_it_at_once
            twenty_sessions_are_created_at_once
            one_of_twenty_creations_of_the_same_session_wins
            every_member_of_a_message_comes_back
            the_longest_text_comes_back
            the_first_and_the_last_moment_come_back
            what_is_unknown_is_absent
            ids_are_compared_exactly
            recent_is_by_last_activity
            recent_puts_the_one_created_later_first_where_activity_is_equal
            recent_is_cut_into_pages_and_the_total_is_not
            history_is_the_end_of_the_session_oldest_first
            messages_are_those_after_a_number
            a_title_is_kept_with_its_entry
            a_title_for_nothing_leaves_no_entry
            removal_takes_the_messages_and_leaves_an_entry
            removal_of_nothing_leaves_no_entry
            a_session_of_the_same_id_begins_anew
        }
        search_contract! { $backend }
        suite! { $backend, webhooks:
            every_member_comes_back
            insert_refuses_a_name_that_is_taken
            list_is_by_creation_then_by_name
            what_is_unknown_is_absent
            names_are_compared_exactly
            another_secret_replaces_the_secret_and_nothing_else
            a_secret_for_nothing_leaves_no_entry
            removal_leaves_the_others_and_an_entry
            removal_of_nothing_leaves_no_entry
            a_removed_name_is_free
            one_of_twenty_insertions_of_the_same_name_wins
        }
        suite! { $backend, mcp_servers:
            every_member_comes_back
            a_server_takes_the_place_of_the_one_of_its_name
            list_is_by_creation_then_by_name
            what_is_unknown_is_absent
            names_are_compared_exactly
            a_server_is_switched_on_and_off
            switching_nothing_leaves_no_entry
            removal_takes_the_sign_in_and_leaves_the_others_and_an_entry
            removal_of_nothing_leaves_no_entry
            a_sign_in_is_kept_as_long_as_the_address_is_the_same
            a_sign_in_takes_the_place_of_the_one_before
            a_sign_in_to_another_address_is_refused
            a_removed_sign_in_leaves_the_server_and_an_entry
            twenty_who_put_a_server_leave_one_and_an_entry_each
            no_sign_in_outlives_its_address_in_a_race
            an_imported_server_is_off_and_comes_once
            an_imported_sign_in_needs_its_server_and_comes_once
        }
        suite! { $backend, turns:
            a_turn_is_stored_with_its_entry
            a_repeated_key_names_the_first_turn_and_stores_nothing
            turns_without_a_key_are_never_repeated
            a_second_turn_of_the_same_id_is_a_conflict
            a_full_queue_stores_nothing
            a_repeated_key_is_recognised_by_a_full_queue
            claimed_turns_count_against_the_capacity_and_finished_ones_do_not
            twenty_deliveries_with_one_key_store_one_turn
            twenty_turns_at_once_do_not_exceed_the_capacity
            finish_stores_the_answer_after_the_question
            finish_does_it_once
            twenty_who_finish_a_turn_store_one_answer
            finish_of_a_turn_that_nobody_claimed_does_nothing
            finish_of_a_released_turn_does_nothing
            finish_drops_the_answer_to_a_removed_session
            finish_drops_the_answer_to_a_session_that_began_anew
            an_answer_is_kept_for_a_key
            an_answer_is_kept_for_a_key_even_if_its_session_was_removed
            forget_drops_old_answers_and_their_keys
            forget_leaves_unfinished_turns
            ready_returns_after_a_turn_was_stored
            ready_returns_after_a_turn_was_finished
        }
        suite! { $backend, claims:
            a_turn_comes_with_its_origin
            claim_takes_the_oldest_first
            how_far_a_turn_has_come_is_known_to_who_takes_it_again
            claim_stores_the_message_and_creates_the_session
            claim_takes_one_turn_of_a_session_at_a_time
            a_session_does_not_wait_for_another
            a_turn_is_held_until_its_lease_has_ended
            a_lease_that_ended_frees_the_turn_for_another_attempt
            a_turn_whose_lease_ended_still_comes_before_the_next_of_its_session
            the_message_is_stored_once_however_often_the_turn_is_claimed
            a_longer_lease_holds_longer
            a_lease_is_prolonged_for_the_named_turns_only
            release_frees_every_claimed_turn_one_after_the_other
            a_turn_that_ends_the_program_is_not_counted_against_the_others
            the_first_and_the_last_moment_are_leases
            no_turn_is_held_by_two_of_twenty_claimers
            every_turn_is_answered_in_order_by_twenty_workers
            a_waiting_turn_outlives_the_removal_of_its_session
            a_question_removed_with_its_session_is_still_answered_for_who_asked
        }
        suite! { $backend, auth_sessions:
            every_member_of_a_session_comes_back
            insert_refuses_an_id_or_a_hash_that_is_taken
            one_of_twenty_insertions_with_the_same_hash_wins
            what_is_unknown_is_absent
            list_is_by_creation_then_by_id_newest_first
            list_is_limited
            list_is_of_one_epoch
            list_leaves_out_what_has_ended
            a_session_is_revoked_once
            ids_are_compared_exactly
            a_revoked_session_frees_its_id_and_its_hash
            a_use_changes_nothing_but_the_last_use
            a_use_is_never_moved_back
            a_use_of_no_session_is_passed_over
            the_uses_of_one_call_are_seen_together
            every_member_of_a_code_comes_back
            insert_refuses_a_code_that_is_taken
            redeem_puts_a_session_in_the_place_of_the_code
            redeem_of_no_code_does_nothing
            a_code_that_has_ended_is_still_there
            one_of_twenty_who_redeem_a_code_gets_a_session
            redeem_keeps_the_code_if_the_session_is_refused
            end_all_leaves_nothing
            end_all_counts_no_codes
            end_all_of_nothing_is_in_the_log_too
            forget_ended_takes_what_has_ended_and_nothing_else
        }
        suite! { $backend, api_keys:
            every_member_comes_back
            insert_refuses_an_id_or_a_hash_that_is_taken
            one_of_twenty_insertions_with_the_same_hash_wins
            what_is_unknown_is_absent
            ids_are_compared_exactly
            list_is_by_creation_then_by_id_oldest_first
            a_revoked_key_stays
            a_key_is_revoked_once
            one_of_twenty_revokes_a_key
            revocation_takes_what_was_got_with_the_key_and_nothing_else
            what_is_redeemed_while_its_key_is_revoked_ends_with_it
            rotation_revokes_a_key_and_adds_its_successor
            rotation_takes_what_was_got_with_the_key_and_nothing_else
            rotation_of_no_key_does_nothing
            rotation_of_a_revoked_key_does_nothing
            rotation_changes_nothing_if_the_successor_is_refused
            one_of_twenty_rotations_of_a_key_wins
            a_use_changes_nothing_but_the_last_use
            a_use_is_never_moved_back
            a_use_of_no_key_is_passed_over
            the_uses_of_one_call_are_seen_together
        }
        suite! { $backend, tickets:
            every_member_of_a_ticket_comes_back
            a_session_comes_back_with_its_family
            insert_refuses_a_ticket_that_is_taken
            what_is_unknown_is_absent
            exchange_spends_the_ticket_and_adds_the_next
            exchange_of_no_ticket_or_a_spent_one_does_nothing
            a_ticket_that_has_ended_is_still_exchanged
            one_of_twenty_who_exchange_a_ticket_gets_a_session
            exchange_removes_the_earlier_sessions_of_the_family_and_nobody_elses
            exchange_may_use_the_id_and_the_hash_of_a_session_that_it_removes
            exchange_leaves_the_ticket_unspent_if_something_is_refused
            end_family_takes_its_tickets_and_sessions_and_nothing_else
            end_family_is_content_with_one_of_the_two
            end_of_no_family_leaves_no_entry
            what_is_exchanged_while_its_family_ends_ends_with_it
            forget_ended_takes_what_has_ended_and_nothing_else
            end_all_takes_every_ticket
            revocation_of_a_key_takes_the_tickets_got_with_it
            rotation_of_a_key_takes_the_tickets_got_with_it
        }
        suite! { $backend, audit:
            every_member_comes_back
            recent_is_by_storing_newest_first
            recent_is_limited
            fifty_entries_at_once_are_all_kept
            the_storage_can_serve
        }
        suite! { $backend, settings:
            nothing_is_set_in_the_beginning
            every_value_comes_back
            changes_leave_the_others_as_they_are
            a_removed_setting_is_gone
            names_are_compared_exactly
            twenty_who_change_something_lose_nothing
            an_imported_setting_comes_once_and_replaces_nothing
        }
        suite! { $backend, memories:
            every_member_comes_back
            insert_refuses_an_id_that_is_taken
            what_is_unknown_is_absent
            a_legacy_id_names_a_memory_unless_another_has_it_as_its_id
            get_keeps_the_order_and_leaves_out_what_is_not_meant
            pages_are_by_creation_newest_first
            a_filter_takes_what_it_says
            a_change_keeps_id_creation_and_the_others
            removal_takes_what_was_made_of_a_memory_and_leaves_the_others
            some_are_removed_the_oldest_first
            kinds_are_counted
            rare_words_and_short_memories_come_first
            words_are_found_in_any_form_and_script
            nobody_finds_what_belongs_to_another
            a_common_word_finds_the_newest_of_an_owner_among_many_of_others
            tags_make_a_graph
            twenty_at_once_lose_nothing
            an_imported_memory_comes_once_and_replaces_nothing
            deleting_one_changes_no_other
        }
        suite! { $backend, vectors:
            spaces_are_in_the_order_of_opening
            every_value_comes_back
            what_has_no_vector_is_known
            a_vector_takes_the_place_of_the_one_before_and_comes_later
            a_vector_of_a_text_that_is_gone_is_not_stored
            a_space_goes_with_its_vectors_and_leaves_the_others
        }
        suite! { $backend, imports:
            a_session_comes_with_its_messages
            the_summary_is_as_the_domain_says
            a_session_comes_in_parts
            the_ids_of_messages_are_those_of_the_session
            messages_come_after_those_that_were_said_here
            a_session_gets_older_and_keeps_its_title
            a_session_without_messages_is_there
            more_messages_than_fit_a_statement_are_all_stored
            imported_messages_are_found
            a_webhook_comes_with_its_secret_once
            an_api_key_comes_once
            a_key_that_is_revoked_there_is_revoked_here_with_what_was_got_with_it
            entries_stand_before_what_happened_here
            entries_of_a_later_import_follow_those_of_an_earlier
            what_happens_after_an_import_into_nothing_stands_last
            kept_records_come_back_with_their_secrets
            a_kept_record_is_replaced_if_it_says_so
            an_import_that_changes_nothing_leaves_no_entry
            the_entry_of_an_import_is_stored_once
            a_preview_says_the_same_and_changes_nothing
            an_item_may_follow_its_equal_in_one_batch
        }
    };
}

/// What a storage has to pass if closing it loses nothing.
macro_rules! persistence {
    ($backend:ident: $($name:ident)+) => {
        mod persistence {
            use crate::contract::backends::{Backend, $backend};
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    if !$backend::is_available() {
                        return;
                    }
                    crate::contract::persistence::$name($backend::fresh().await).await;
                }
            )+
        }
    };
    ($backend:ident) => {
        persistence! { $backend:
            sessions_and_messages_are_there_after_reopening
            webhooks_are_there_after_reopening
            mcp_servers_are_there_after_reopening
            settings_are_there_after_reopening
            memories_and_vectors_are_there_after_reopening
            the_audit_log_is_there_after_reopening
            turns_are_there_after_reopening
            credentials_are_there_after_reopening
            removal_is_for_ever
            a_message_that_was_not_settled_is_found_after_reopening
            numbers_go_on_after_reopening
        }
    };
}

/// Random histories, compared with the in-memory storage, which is the definition and therefore not compared with itself.
macro_rules! model {
    ($backend:ident) => {
        mod model {
            use crate::contract::backends::{Backend, $backend};
            #[test]
            fn every_answer_is_that_of_the_in_memory_storage() {
                if !$backend::is_available() {
                    return;
                }
                crate::contract::model::every_answer_is_that_of_the_in_memory_storage::<$backend>();
            }
        }
    };
}

/// The list of storages: the name of the module, the type, and which suites it has to pass.
macro_rules! for_every_backend {
    ($($name:ident: $backend:ident: $($suite:ident),+;)+) => {
        $(
            mod $name {
                $($suite! { $backend })+
            }
        )+
    };
}

for_every_backend! {
    memory: Memory: contract;
    sqlite: Sqlite: contract, persistence, model;
    postgres: Postgres: contract, persistence, model;
    postgres_without_extension: PostgresWithoutExtension: search_contract, persistence, model;
}
