"""Policy: from what was written to verdicts, findings and conjunctive flows.

Place: between `model.policy` and the pipeline's tables; pure. What it all means is decision 0056.
"""
