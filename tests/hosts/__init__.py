"""Throwaway hosts with a real systemd, sshd and cron, and what Ansible makes of them."""
