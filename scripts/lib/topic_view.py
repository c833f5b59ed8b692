# SPDX-License-Identifier: Apache-2.0
"""Answers one question about `sluice topic describe NAME -o json` on standard input.

  topic_view.py busiest         id of the broker that leads the most partitions
  topic_view.py leaders         "broker 1 leads 2, broker 3 leads 4"
  topic_view.py led-without ID  exit status 0 when every partition has a leader, and none of them is broker ID
  topic_view.py whole           exit status 0 when every replica of every partition is in sync
"""
import collections
import json
import sys


def partitions(document):
    """The partitions of a described topic; the document may be the topic itself or a list of topics."""
    if isinstance(document, dict) and 'topics' in document:
        document = document['topics']
    if isinstance(document, list):
        document = document[0]
    return document['partitions']


def leaders(described):
    """How many partitions each broker leads."""
    return collections.Counter(one['leader'] for one in described if one['leader'] >= 0)


def answer(question, arguments, described):
    """Prints the answer; returns the exit status."""
    if question == 'busiest':
        print(leaders(described).most_common(1)[0][0])
        return 0
    if question == 'leaders':
        print(', '.join(f'broker {broker} leads {count}' for broker, count in sorted(leaders(described).items())))
        return 0
    if question == 'led-without':
        return 0 if all(one['leader'] >= 0 and one['leader'] != int(arguments[0]) for one in described) else 1
    if question == 'whole':
        return 0 if all(set(one['isr']) == set(one['replicas']) for one in described) else 1
    return 2


if __name__ == '__main__':
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(answer(sys.argv[1], sys.argv[2:], partitions(json.load(sys.stdin))))
