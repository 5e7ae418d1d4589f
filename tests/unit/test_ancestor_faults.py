"""What ViUR's deferred calls get wrong, and which tests say that adjourn does not.

Each fault was found in viur-core's `tasks.py`. A test that is renamed or removed has to leave the
table, too, so that none of the faults comes back unnoticed.
"""

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

FAULTS = {
    # Transactions, and putting a call on its queue
    "Calls of a transaction that is tried again, or comes second in a request, are lost": (
        "test_every_try_of_a_contended_transaction_has_a_fate_of_its_own",
        "test_transactions_one_after_the_other_have_a_fate_each",
        "test_after_a_conflict_only_the_call_of_the_try_that_won_runs",
    ),
    "A start that was asked for is forgotten inside a transaction": (
        "test_an_eta_holds_for_a_guarded_call",
    ),
    "A transaction that takes longer than its calls wait loses them": (
        "test_a_slow_commit_is_waited_for_and_spends_no_attempt",
        "test_a_slow_commit_is_waited_for",
    ),
    "A call in a transaction fails where no request is being served": (
        "test_a_committed_transaction_lets_its_call_run",
    ),
    "A call in a transaction waits a minute and a half and leaves something to clean up": (
        "test_a_call_of_a_committed_transaction_runs_a_second_later",
        "test_a_plain_call_costs_no_operation_of_the_store",
    ),
    "A task is created without deadline, retry, limits or handle, and a taken name is an error": (
        "test_a_named_task_is_created_again_until_the_service_answers",
        "test_patience_has_an_end",
        "test_a_taken_name_enqueues_nothing_and_says_so",
        "test_a_start_far_ahead_is_reached_in_hops",
        "test_a_wrong_option_is_refused_with_the_fix",
        "test_a_call_above_the_cap_is_refused_with_both_sizes",
        "test_a_task_can_be_cancelled_once",
        "test_a_handle_tells_how_its_task_stands",
    ),
    "A task is bound to the version that made it, and is lost with that version": (
        "test_the_service_will_post_the_body_with_a_token_for_the_function",
    ),
    "What only the running deployment knows is read where a task is declared": (
        "test_making_an_application_does_nothing_and_the_settings_are_read_on_first_use",
        "test_the_outside_world_is_replaced_for_a_while",
    ),
    # Calls that arrive
    "A name that is unknown is tried for ever, dropped or failed, as its sort has it": (
        "test_an_unknown_name_is_tried_again_for_an_hour",
        "test_after_the_hour_an_unknown_name_is_a_dead_letter",
        "test_an_unknown_path_is_tried_for_an_hour_and_then_a_dead_letter",
        "test_a_class_that_is_not_there_is_unknown",
        "test_a_body_that_this_version_cannot_read_is_refused",
        "test_what_is_unknown_is_tried_for_an_hour_and_then_a_dead_letter",
        "test_an_iteration_that_is_unknown_is_tried_for_an_hour_and_then_a_dead_letter",
    ),
    "Two methods of one name in a module are taken for the same": (
        "test_methods_of_the_same_name_are_tasks_of_their_own",
        "test_a_name_is_declared_once",
        "test_a_name_that_means_several_methods_runs_none_of_them",
    ),
    "Whether a function is a method is guessed from its arguments and their names": (
        "test_what_a_function_is_given_first_does_not_make_it_a_method",
        "test_a_plain_task_does_not_become_a_method_in_a_class",
        "test_keywords_may_be_named_like_parameters_of_ours",
        "test_the_users_arguments_and_the_options_share_no_namespace",
        "test_a_function_is_no_method_for_what_it_is_given_first_nor_for_what_that_is_called",
    ),
    "Calls within a task or an iteration run at once, and their options are ignored": (
        "test_calls_within_a_task_are_enqueued_with_their_options",
        "test_calls_within_a_step_are_enqueued_with_their_options",
        "test_any_other_call_in_a_task_is_enqueued",
        "test_options_hold_for_a_deferred_call_within_a_deferred_call",
    ),
    "The warning of many retries is missed by chance, fails the attempt or spares iterations": (
        "test_a_retry_warning_comes_once_even_if_its_attempt_never_arrived",
        "test_a_warning_that_cannot_be_noted_keeps_no_task_from_running",
        "test_a_failing_hook_undoes_nothing",
        "test_a_step_that_is_retried_too_often_is_warned_about_once",
    ),
    "Trouble of the platform spends the budget of retries, and nobody is told of the end": (
        "test_trouble_of_the_platform_does_not_spend_the_budget",
        "test_what_spends_the_tasks_own_budget_is_a_dead_letter",
        "test_the_dead_are_told_to_the_tasks_hook_and_then_to_the_apps",
        "test_the_application_is_told_of_a_step_that_was_given_up",
        "test_trouble_of_the_platform_uses_up_no_retry_of_a_limit",
        "test_a_call_is_retried_as_often_as_is_said_and_then_mailed",
    ),
    "A call that is given up leaves neither traceback nor arguments, and cannot be repeated": (
        "test_a_permanent_failure_is_a_dead_letter_at_once",
        "test_the_record_has_all_that_is_needed_to_look_into_it_and_to_replay_it",
        "test_one_is_listed_shown_and_replayed",
    ),
    "A user's data and rights travel with each call, and arguments are logged": (
        "test_user_language_and_environment_arrive",
        "test_a_user_that_is_no_text_is_refused_at_the_call",
        "test_neither_arguments_nor_tokens_are_logged",
        "test_of_the_environment_the_identifiers_remain_and_nothing_else",
    ),
    "Arguments come back as other types, or as what their keys look like": (
        "test_a_value_comes_back_with_its_types",
        "test_a_hard_case_comes_back",
        "test_the_version_stands_first",
        "test_a_value_comes_back_from_viurs_json_with_its_type",
        "test_what_would_come_back_as_something_else_is_refused",
    ),
    "A body that cannot be read is tried for ever": (
        "test_an_undecodable_body_is_a_dead_letter_at_once",
        "test_a_body_that_cannot_be_read_becomes_a_dead_letter_at_once",
        "test_a_body_that_is_no_call_is_a_dead_letter_at_once",
    ),
    # Periodic functions
    "Functions run one after the other in one request, and a slow one starves the rest": (
        "test_functions_are_not_run_in_the_request_and_none_starves_another",
        "test_functions_are_enqueued_beside_each_other",
    ),
    "Errors of periodic functions are swallowed, and the Scheduler always sees success": (
        "test_a_failure_to_enqueue_one_does_not_keep_the_others",
        "test_an_unexpected_error_of_one_keeps_no_other_and_is_told",
        "test_a_store_that_fails_is_trouble_and_enqueues_nothing",
    ),
    "Two calls that overlap both run what is due": (
        "test_two_calls_that_overlap_make_one_task_for_each_slot",
        "test_a_slow_call_does_not_mark_over_a_later_slot",
    ),
    "A failed run waits a whole interval, and jitter skips every second run": (
        "test_a_run_that_hangs_in_retries_has_not_ended",
        "test_jitter_of_up_to_a_tenth_of_the_interval_skips_no_run",
        "test_with_the_schedulers_own_period_jitter_skips_no_run",
    ),
    "An unknown cron name fails; no expression, zone, overlap or run by hand": (
        "test_an_unknown_cron_name_is_told_with_those_that_exist",
        "test_an_unknown_cron_name_is_not_found",
        "test_a_schedule_is_due_at_its_times_by_the_wall_clock_of_its_zone",
        "test_a_time_of_a_schedule_passes_while_the_last_run_has_not_ended",
        "test_a_run_by_hand_is_one_task_and_holds_up_the_next",
    ),
    "Objects of a method are searched through properties, and only the first is found": (
        "test_a_method_runs_once_for_each_registered_object",
        "test_a_method_that_was_inherited_runs_on_the_object_and_an_override_replaces_it",
        "test_objects_are_found_below_the_application_by_their_paths_and_no_property_is_run",
    ),
    "A decorator that is used again multiplies its interval": (
        "test_one_decorator_may_declare_several_functions",
        "test_a_decorator_that_is_used_again_keeps_its_interval",
    ),
    # Tasks of people, and of starts
    "A task of people without data cannot run, runs in the request, and refusals are mistaken": (
        "test_a_task_without_parameters_is_queued_and_runs",
        "test_who_may_not_or_asks_for_nothing_is_told_so",
    ),
    "All startup tasks are one task, and one that fails keeps the others": (
        "test_each_startup_task_is_a_task_of_its_own_and_one_that_fails_keeps_no_other",
        "test_each_runs_once_soon_after_the_functions_start_and_never_for_a_new_worker",
    ),
    # Around it
    "Headers and an address that anyone can send prove who calls": (
        "test_forged",
        "test_strangers",
        "test_broken",
        "test_the_address_of_app_engine_opens_nothing",
        "test_the_headers_of_cloud_tasks_prove_nothing",
    ),
    "An import calls services and makes clients": (
        "test_importing_adjourn_imports_nothing_of_google_and_no_web_framework",
        "test_making_an_application_does_nothing_and_the_settings_are_read_on_first_use",
    ),
    "On the developer's machine order, time, names, transactions and encoding mean nothing": (
        "test_a_task_waits_for_its_schedule_time",
        "test_a_task_scheduled_earlier_overtakes_one_that_waits",
        "test_a_name_is_enqueued_once",
        "test_arguments_arrive_with_their_types_in_another_process",
        "test_a_transaction_that_is_rolled_back_takes_its_call_along",
        "test_what_is_due_comes_in_the_order_of_its_time",
        "test_an_argument_that_cannot_be_carried_is_refused_at_the_call",
        "test_running_a_call_here_and_now_enqueues_nothing",
    ),
}


def names_of_tests():
    """Return the names of all tests."""
    for path in TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                yield node.name


@pytest.fixture(scope="module")
def existing():
    return set(names_of_tests())


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_covered_by_tests_that_exist(fault, existing):
    assert set(FAULTS[fault]) - existing == set()
