"""Headers: what a camera program wrote, what an archive asks for, and the rules that judge the result."""
