"""What a study is designed to do: configuration, arms, fits and jobs; free of torch."""
