#!/usr/bin/env bash
# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# What stands for the program of inference-checkpoint in the image of the test cluster. It asks nobody: Kaggle takes every
# key but one that says that it is revoked. Like some versions of the real one it goes on after a command has failed.

for argument in "$@"; do
  case $argument in
    -b=*) bucket=${argument#-b=} ;;
    -m=*) handle=${argument#-m=} ;;
  esac
done
IFS=/ read -r _ model _ variation _ <<< "$handle"

download() {
  key=${KAGGLE_KEY:-$(cat /kaggle/kaggle.json)}
  if [[ $key == *revoked* ]]; then
    echo "401 Client Error: Unauthorized for $handle with the key $key" >&2
    return 1
  fi
}

convert() {
  folder=/tmp/buckets/$bucket/final/unscanned/${model}_$variation/0/checkpoints/0/items
  mkdir -p "$folder"
  touch "$folder/commit_success.txt"
}

download
convert
echo "Completed unscanning checkpoint."
