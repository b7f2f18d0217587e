# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the engine imports in a container, with all that these need: arguments for ``pip install --no-deps``.

The versions are those of ``requirements/runtime.txt``; a test keeps them the same. Containers run CPython on Linux, so
only the processor is left of the conditions: elsewhere huggingface_hub does without hf-xet.
"""

from __future__ import annotations

#: What the engine itself imports; requests is what google-auth wants where a metadata server gives the credentials.
DIRECT = ("awscrt", "botocore", "google-auth", "google-crc32c", "huggingface-hub", "requests", "urllib3")

REQUIREMENTS: tuple[str, ...] = (
    "anyio==4.16.0",
    "awscrt==0.38.1",
    "botocore==1.44.5",
    "certifi==2026.10.18",
    "cffi==2.1.1",
    "charset-normalizer==3.5.2",
    "click==8.5.1",
    "cryptography==50.0.2",
    "filelock==4.2.11",
    "fsspec==2026.9.0",
    "google-auth==2.62.2",
    "google-crc32c==1.9.0",
    "h11==0.16.0",
    "hf-xet==1.8.0 ; platform_machine == 'x86_64' or platform_machine == 'aarch64'",
    "httpcore2==2.16.2",
    "httpx2==2.16.2",
    "huggingface-hub==2.4.0",
    "idna==3.20",
    "jmespath==1.1.0",
    "packaging==26.3",
    "pyasn1==0.6.5",
    "pyasn1-modules==0.4.2",
    "pycparser==3.12",
    "python-dateutil==2.9.0.post0",
    "pyyaml==6.0.3",
    "requests==2.34.2",
    "six==1.17.0",
    "tqdm==4.70.1",
    "truststore==0.10.5",
    "typing-extensions==4.16.0",
    "urllib3==2.8.0",
)
