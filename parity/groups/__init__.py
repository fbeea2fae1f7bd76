"""The features of each group, declared where they are checked."""
