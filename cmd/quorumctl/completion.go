package main

import "github.com/spf13/cobra"

const completionHelp = `Write a script to standard output that makes a shell complete quorumctl's commands and flags.

Load it in the running shell:

  bash         source <(quorumctl completion bash)
  zsh          source <(quorumctl completion zsh)
  fish         quorumctl completion fish | source
  PowerShell   quorumctl completion powershell | Out-String | Invoke-Expression

For all new shells, save it where the shell looks:

  bash         /etc/bash_completion.d/quorumctl
  zsh          a file _quorumctl in a directory of $fpath, with compinit enabled
  fish         ~/.config/fish/completions/quorumctl.fish
  PowerShell   a file that your profile loads`

func (a *app) newCompletion() *cobra.Command {
	return &cobra.Command{
		Use:   "completion [bash|zsh|fish|powershell]",
		Short: "Write a completion script for a shell",
		Long:  completionHelp,
		Example: `  quorumctl completion bash > /etc/bash_completion.d/quorumctl
  quorumctl completion zsh > "${fpath[1]}/_quorumctl"`,
		GroupID:               groupUtility,
		DisableFlagsInUseLine: true,
		ValidArgs:             []string{"bash", "zsh", "fish", "powershell"},
		Args: func(cmd *cobra.Command, args []string) error {
			check := cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs)
			if err := check(cmd, args); err != nil {
				return failf(exitError, "%w", err).hint("name one shell: bash, zsh, fish or powershell")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(a.stdout, true)
			case "zsh":
				return root.GenZshCompletion(a.stdout)
			case "fish":
				return root.GenFishCompletion(a.stdout, true)
			default:
				return root.GenPowerShellCompletionWithDesc(a.stdout)
			}
		},
	}
}
