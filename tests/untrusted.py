"""What handles untrusted input: patterns of the modules of a group, and its own tests."""

GROUPS = {
    "privacy": (
        "assistant/privacy/*.py",
        (
            "tests/assistant/privacy tests/regress/test_secret_forms.py "
            "tests/regress/test_patterns_exclude_what_they_say.py "
            "tests/training/data/test_scrub.py tests/regress/test_secrets_while_typed.py"
        ),
    ),
    "index": (
        "assistant/index/*.py",
        (
            "tests/assistant/index tests/lsp/test_indexes.py tests/regress/test_state_files.py "
            "tests/regress/test_ignored_and_linked_files.py tests/regress/test_secret_forms.py "
            "tests/regress/test_folders_of_others.py::test_an_index_that_others_can_change_is_not_used "  # noqa: E501
            "tests/test_file_faults.py::test_an_index_is_the_old_or_the_new_one"
        ),
    ),
    "messages": (
        "lsp/documents.py lsp/framing.py lsp/protocol.py lsp/convert.py",
        (
            "tests/lsp/test_messages.py tests/lsp/test_framing.py tests/lsp/test_positions.py "
            "tests/lsp/test_outbox.py "
            "tests/lsp/test_convert.py tests/lsp/test_protocol.py tests/lsp/test_workspace.py "
            "tests/lsp/test_loop.py tests/lsp/test_document_paths.py tests/lsp/test_documents.py"
        ),
    ),
    "models": (
        (
            "model/files.py model/config.py model/tokenizer.py model/weights.py "
            "model/foreign.py model/folder.py model/gguf_file.py"
        ),
        (
            "tests/model/test_files.py tests/model/test_config.py tests/model/test_tokenizer.py "
            "tests/model/test_weights.py tests/model/test_plain_folder.py "
            "tests/model/test_folder.py tests/model/test_folder_saving.py "
            "tests/model/test_gguf_file.py tests/model/test_gguf_weights.py "
            "tests/model/test_folder_ranker.py tests/regress/test_state_files.py "
            "tests/model/test_runtime_gguf.py tests/assistant/models/test_plain_models.py "
            "tests/assistant/models/test_gguf_models.py"
        ),
    ),
    "folders": (
        (
            "assistant/settings.py assistant/path_patterns.py assistant/git.py lsp/tcp.py "
            "lsp/settings.py lsp/fast_initialize.py"
        ),
        (
            "tests/assistant/test_settings.py tests/assistant/test_git.py tests/lsp/test_tcp.py "
            "tests/lsp/test_fast_initialize.py tests/lsp/test_settings.py "
            "tests/assistant/index/test_builder.py tests/regress/test_state_files.py "
            "tests/regress/test_patterns_exclude_what_they_say.py "
            "tests/regress/test_ignored_and_linked_files.py tests/regress/test_isolated_start.py "
            "tests/regress/test_excluded_by_another_name.py"
        ),
    ),
    "team": ("assistant/serve/*.py", "tests/assistant/serve"),
    "servers": ("assistant/remote/*.py", "tests/assistant/remote"),
}
