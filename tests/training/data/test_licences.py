"""Licence texts and file headers."""

import pytest

from tests.repositories import MIT
from training.data.licences import (
    detect,
    header_refuses,
    is_allowed,
    is_licence_file,
    licence_of,
)
from training.recipe import DEFAULT_LICENCES

BSD_2 = (
    "Redistribution and use in source and binary forms, with or without modification, are\n"
    "permitted: * Redistributions in binary form must reproduce the above copyright notice.\n"
)
BSD_3 = BSD_2 + "The names may not be used to endorse or promote products derived from this.\n"
BSD_4 = BSD_3 + "All advertising materials mentioning features must display this.\n"
ISC = (
    "Permission to use, copy, modify, and/or distribute this software for any purpose with or\n"
    "without fee is hereby granted, provided that the above copyright notice and this permission\n"
    "notice appear in all copies.\n"
)
TEXTS = {
    "MIT": MIT,
    "MIT-0": MIT.replace("The above copyright notice and this permission notice", "It"),
    "Apache-2.0": "Apache License\n    Version 2.0, January 2004\n",
    "BSD-2-Clause": BSD_2,
    "BSD-3-Clause": BSD_3,
    "BSD-4-Clause": BSD_4,
    "ISC": ISC,
    "0BSD": ISC.partition(", provided")[0],
    "PSF-2.0": "PYTHON SOFTWARE FOUNDATION LICENSE VERSION 2\n1. This LICENSE AGREEMENT ...",
    "Unlicense": "This is free and unencumbered software released into the public domain.",
    "HPND": "Permission to use, copy, modify and distribute this software and its documentation"
    " for any\npurpose and without fee is hereby granted",
    "BSL-1.0": "Boost Software License - Version 1.0 - August 17th, 2003",
    "Zlib": "This software is provided 'as-is', without any express or implied\nwarranty.\n"
    "2. Altered source versions must be plainly marked as such.",
    "GPL": "GNU GENERAL PUBLIC LICENSE\n   Version 3, 29 June 2007",
    "LGPL": "GNU LESSER GENERAL PUBLIC LICENSE\nVersion 3",
    "AGPL": "GNU AFFERO GENERAL PUBLIC LICENSE\nVersion 3",
    "MPL": "Mozilla Public License Version 2.0",
    "BUSL-1.1": "Business Source License 1.1",
    "unknown": "You may look, and that is all.",
}


@pytest.mark.parametrize("name", TEXTS)
def test_licence_is_known_by_its_phrases(name: str) -> None:
    assert detect(TEXTS[name]) == name


def test_notices_of_bundled_parts_do_not_change_the_licence() -> None:
    assert detect(f"{BSD_3}\n\nBundled parts:\n{TEXTS['GPL']}\n{MIT}") == "BSD-3-Clause"


def test_several_allowed_licences_are_joined() -> None:
    found = licence_of([TEXTS["Apache-2.0"], MIT, "Choose either of these."], DEFAULT_LICENCES)
    assert found == "Apache-2.0 AND MIT"
    assert is_allowed(found, DEFAULT_LICENCES)


@pytest.mark.parametrize("refused", ["GPL", "AGPL", "LGPL", "MPL", "BSD-4-Clause", "BUSL-1.1"])
def test_one_refused_licence_decides(refused: str) -> None:
    found = licence_of([MIT, TEXTS[refused]], DEFAULT_LICENCES)
    assert found == refused
    assert not is_allowed(found, DEFAULT_LICENCES)


def test_no_licence_text_is_no_licence() -> None:
    assert licence_of([], DEFAULT_LICENCES) == "unknown"
    assert not is_allowed("unknown", DEFAULT_LICENCES)


@pytest.mark.parametrize(
    "path",
    ["LICENSE", "LICENCE.md", "license.txt", "COPYING", "LICENSE-MIT", "LICENSES/MIT.txt"],
)
def test_licence_files_are_found(path: str) -> None:
    assert is_licence_file(path)


@pytest.mark.parametrize(
    "path",
    [
        "licenses.py",
        "src/LICENSE",
        "LICENSES_bundled.txt",
        "licensing.md",
        "LICENSE.spdx",
        "LICENSE-THIRD-PARTY",
        "LICENSE-3rdparty.txt",
        "LICENSE.third_party",
        "LICENSE-vendored",
    ],
)
def test_other_files_are_no_licence(path: str) -> None:
    assert not is_licence_file(path)


@pytest.mark.parametrize(
    "head",
    [
        "# You can redistribute it under the terms of the\n# GNU General Public\n# License\n",
        "# GNU Lesser General Public License\n",
        "/* GNU Affero General Public License */\n",
        "# SPDX-License-Identifier: GPL-3.0-or-later\n",
        "# SPDX-License-Identifier: MIT AND GPL-2.0-only\n",
        "# Released under the GPL, see COPYING\n",
        "# License: GPLv3\n",
        "# This Source Code Form is subject to the terms of the Mozilla Public\n# License\n",
        "# All rights reserved. Unauthorized copying of this file is prohibited.\n",
        "# Proprietary and confidential\n",
        "# Creative Commons Attribution-NonCommercial 4.0\n",
        "# Business Source License 1.1\n",
        "// SPDX-License-Identifier: GPL-2.0 WITH Classpath-exception-2.0\n",
        "// SPDX-License-Identifier: MPL-2.0/GPL-2.0\n",
        "// Licensed under the MIT license. Portions are licensed under the LGPL.\n",
        "// Licensed under the MIT license and the GNU General Public License.\n",
        "// Released under the Apache License. This file is under the GPL.\n",
    ],
)
def test_header_that_rules_a_file_out(head: str) -> None:
    assert header_refuses(head + "x = 1\n", DEFAULT_LICENCES)


@pytest.mark.parametrize(
    "head",
    [
        "# SPDX-License-Identifier: MIT\n",
        "# SPDX-License-Identifier: (GPL-2.0-only OR MIT)\n",
        "/* SPDX-License-Identifier: Apache-2.0 */\n",
        "# Licensed under the Apache License, Version 2.0\n",
        "# Copyright 2020 A. All rights reserved.\n# BSD licence, see LICENSE.\n",
        "// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception\n",
        "// SPDX-License-Identifier: MIT/Apache-2.0\n",
        (
            "/*\n * This project is licensed under the MIT license. Module v uses ZK framework\n"
            " * licensed under LGPL (see lgpl-3.0.txt).\n */\n"
        ),
        "import json\n",
    ],
)
def test_header_that_is_fine(head: str) -> None:
    assert not header_refuses(head + "x = 1\n", DEFAULT_LICENCES)


def test_only_the_head_of_a_file_counts() -> None:
    text = "x = 1\n" * 1000 + 'GPL = "GNU General Public License"\n'
    assert not header_refuses(text, DEFAULT_LICENCES)
