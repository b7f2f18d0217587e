# SPDX-License-Identifier: GPL-3.0-or-later
"""Embedded services for laptops, tests and benchmarks: an S3 store, a model hub and llama.cpp's server, on 127.0.0.1.

Run ``python -m local_services present|absent|status --state-dir DIR`` to manage them as processes, or use
``local_services.hub.LocalHub``, ``local_services.seaweedfs.SeaweedFS`` and
``local_services.llama_service.LlamaService`` from Python.
"""
