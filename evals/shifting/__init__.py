"""Acting on verdicts: which features were judged beside the point, and what taking them out changes."""
