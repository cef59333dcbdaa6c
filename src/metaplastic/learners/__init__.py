"""How a network learns a scenario: the one loop, and the learners that hook into it."""
