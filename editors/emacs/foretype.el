;;; foretype.el --- Inline code completion on your own machine -*- lexical-binding: t; -*-

;; Package-Requires: ((emacs "28.1"))
;; Version: 0.1.0
;; SPDX-License-Identifier: MIT

;;; Commentary:

;; Two ways, one for each language client:
;;
;;   eglot      (foretype-setup 'eglot): wherever nothing else starts a language client
;;   lsp-mode   (foretype-setup 'lsp-mode): everywhere, beside other servers
;;
;; eglot runs one server for a buffer.  `foretype-eglot-ensure' in a mode's hook gives that place
;; to foretype, whatever else would have it; `foretype-lsp-setup' leaves starting `lsp' to you.
;;
;; `foretype-mode' asks, shows and puts in.  eglot knows no inline completion; lsp-mode 10 does,
;; but waits two and a half seconds after each key and forgets what is typed along.
;;
;; In foretype-mode, while there is a suggestion: TAB accepts it, M-<right> a word of it, M-<down>
;; a line of it, M-n and M-p show another, C-g dismisses it.  Typing along keeps it.

;;; Code:

(require 'cl-lib)
(require 'subr-x)

(defvar eglot-server-programs)
(defvar lsp--cur-workspace)
(defvar lsp-inline-completion-enable)
(defvar lsp-managed-mode)
(declare-function eglot-current-server "eglot")
(declare-function eglot-ensure "eglot")
(declare-function eglot--TextDocumentPositionParams "eglot")
(declare-function eglot--signal-textDocument/didChange "eglot")
(declare-function eglot--lsp-position-to-point "eglot")
(declare-function eglot-lsp-position-to-point "eglot")
(declare-function eglot--managed-mode "eglot")
(declare-function jsonrpc-async-request "jsonrpc")
(declare-function lsp-register-client "lsp-mode")
(declare-function make-lsp-client "lsp-mode")
(declare-function lsp-stdio-connection "lsp-mode")
(declare-function lsp-activate-on "lsp-mode")
(declare-function lsp-workspaces "lsp-mode")
(declare-function lsp-deferred "lsp-mode")
(declare-function lsp-request-async "lsp-mode")
(declare-function lsp-inline-completion-mode "lsp-inline-completion")
(declare-function lsp--client-server-id "lsp-mode")
(declare-function lsp--workspace-client "lsp-mode")
(declare-function lsp--workspace-status "lsp-mode")
(declare-function lsp--text-document-position-params "lsp-mode")
(declare-function lsp--line-character-to-point "lsp-mode")

(defgroup foretype nil "Inline code completion on your own machine." :group 'convenience)

(defcustom foretype-command '("foretype" "lsp")
  "The server's program and arguments."
  :type '(repeat string) :risky t)

(defcustom foretype-settings nil
  "Options of the server, a plist such as (:show \"quiet\")."
  :type 'plist :risky t)

(defcustom foretype-languages '("python" "javascript" "typescript" "go" "rust" "java" "c" "cpp")
  "Languages that lsp-mode starts the server for."
  :type '(repeat string))

(defcustom foretype-delay 0.1
  "Seconds from the last key to the question, in `foretype-mode'."
  :type 'number)

(defface foretype-ghost '((t :inherit shadow :slant italic))
  "The text on offer.")

;;; What is on offer

(defvar-local foretype--items nil "Texts on offer, as pairs of where they begin and the text.")
(defvar-local foretype--index 0)
(defvar-local foretype--over "" "What the text on offer replaces after the cursor.")
(defvar-local foretype--after nil "The rest of the line after that, when it was asked.")
(defvar-local foretype--overlay nil)
(defvar-local foretype--timer nil)
(defvar-local foretype--tick 0 "Counts questions; answers to older ones are dropped.")
(defvar-local foretype--text-tick nil "The buffer's own tick after the last command.")
(defvar-local foretype--dismissed nil "Buffer tick and point where nothing is wanted.")

(defvar foretype-active-map
  (let ((map (make-sparse-keymap)))
    (define-key map (kbd "TAB") #'foretype-accept)
    (define-key map (kbd "M-<right>") #'foretype-accept-word)
    (define-key map (kbd "M-<down>") #'foretype-accept-line)
    (define-key map (kbd "M-n") #'foretype-next)
    (define-key map (kbd "M-p") #'foretype-previous)
    (define-key map (kbd "C-g") #'foretype-dismiss)
    map)
  "Keys while there is a suggestion.")

(defvar-local foretype--is-showing nil)
(add-to-list 'minor-mode-map-alist (cons 'foretype--is-showing foretype-active-map))

(defun foretype--left ()
  "Return what is left of the text on offer, or nil."
  (when-let* ((item (nth foretype--index foretype--items))
              (start (car item)))
    (when (and (<= start (point))
               (equal (buffer-substring-no-properties (point) (line-end-position))
                      (concat foretype--over foretype--after)))
      (let ((typed (buffer-substring-no-properties start (point))))
        (when (and (string-prefix-p typed (cdr item)) (< (length typed) (length (cdr item))))
          (substring (cdr item) (length typed)))))))

(defun foretype--clear ()
  "Forget what is on offer."
  (when foretype--overlay (delete-overlay foretype--overlay))
  (setq foretype--items nil foretype--index 0 foretype--is-showing nil))

(defun foretype--draw ()
  "Draw what is left; nil if nothing is."
  (let ((left (foretype--left)))
    (if (null left)
        (progn (foretype--clear) nil)
      (let ((shown (if (and (not (string-empty-p foretype--over))
                            (string-suffix-p foretype--over left))
                       (substring left 0 (- (length foretype--over)))
                     (copy-sequence left))))
        (unless foretype--overlay (setq foretype--overlay (make-overlay (point) (point))))
        (move-overlay foretype--overlay (point) (point) (current-buffer))
        (setq shown (propertize shown 'face 'foretype-ghost))
        (unless (string-empty-p shown) (put-text-property 0 1 'cursor t shown))
        (overlay-put foretype--overlay 'after-string shown)
        (setq foretype--is-showing t)))))

;;; The language clients

(defun foretype--workspace ()
  "Return lsp-mode's workspace of our server for this buffer, if there is one."
  (and (bound-and-true-p lsp-managed-mode)
       (seq-find (lambda (workspace)
                   (and (eq 'foretype (lsp--client-server-id (lsp--workspace-client workspace)))
                        (eq 'initialized (lsp--workspace-status workspace))))
                 (lsp-workspaces))))

(defun foretype--get (object key)
  "Return the member KEY of OBJECT, a plist or one of lsp-mode's hash tables."
  (if (hash-table-p object)
      (gethash (substring (symbol-name key) 1) object)
    (plist-get object key)))

(defun foretype--point-of (position)
  "Return the buffer position of the protocol's POSITION."
  (cond ((foretype--workspace)
         (lsp--line-character-to-point (foretype--get position :line)
                                       (foretype--get position :character)))
        ((fboundp 'eglot-lsp-position-to-point) (eglot-lsp-position-to-point position))
        (t (eglot--lsp-position-to-point position))))

(defun foretype--request (on-answer)
  "Ask the server about the place at point; ON-ANSWER takes its answer."
  (let ((context '(:context (:triggerKind 2))))
    (if-let* ((workspace (foretype--workspace)))
        (let ((lsp--cur-workspace workspace))
          (lsp-request-async
           "textDocument/inlineCompletion"
           (append (lsp--text-document-position-params) context)
           on-answer :mode 'detached :error-handler #'ignore :cancel-token 'foretype))
      (when-let* ((server (and (fboundp 'eglot-current-server) (eglot-current-server))))
        (eglot--signal-textDocument/didChange)
        (jsonrpc-async-request
         server :textDocument/inlineCompletion
         (append (eglot--TextDocumentPositionParams) context)
         :success-fn on-answer :error-fn #'ignore :timeout-fn #'ignore :deferred nil)))))

(defun foretype--receive (answer tick)
  "Show ANSWER if it is to the newest question, which TICK counts."
  (when (and (= tick foretype--tick) answer)
    (let ((items (append (if (vectorp answer) answer (foretype--get answer :items)) nil)))
      (foretype--clear)
      (when items
        (let ((end (foretype--get (foretype--get (car items) :range) :end)))
          (setq foretype--over
                (buffer-substring-no-properties
                 (point) (max (point) (min (foretype--point-of end) (line-end-position))))
                foretype--after
                (buffer-substring-no-properties (+ (point) (length foretype--over))
                                                (line-end-position))
                foretype--items
                (mapcar (lambda (item)
                          (cons (foretype--point-of
                                 (foretype--get (foretype--get item :range) :start))
                                (string-replace "\r\n" "\n" (foretype--get item :insertText))))
                        items)))
        (foretype--draw)))))

(defun foretype--ask (buffer tick)
  "Ask for BUFFER, unless TICK is no longer the newest question."
  (when (and (buffer-live-p buffer) (eq buffer (window-buffer)))
    (with-current-buffer buffer
      (when (= tick foretype--tick)
        (let ((place (point)))
          (foretype--request
           (lambda (answer)
             (when (buffer-live-p buffer)
               (with-current-buffer buffer
                 (when (= place (point)) (foretype--receive answer tick)))))))))))

(defun foretype--managed ()
  "Ask in a buffer that a language client has begun to manage, the first time."
  (remove-hook 'eglot-managed-mode-hook #'foretype--managed t)
  (foretype--ask (current-buffer) (cl-incf foretype--tick)))

(defun foretype--place ()
  "Return what identifies the text and the cursor in it."
  (cons (buffer-chars-modified-tick) (point)))

(defun foretype--after-command ()
  "Keep what still fits, or ask anew if the text was changed."
  (let ((has-changed (not (eql foretype--text-tick (buffer-chars-modified-tick)))))
    (setq foretype--text-tick (buffer-chars-modified-tick))
    (unless (and foretype--items (foretype--draw))
      (cl-incf foretype--tick)
      (when (timerp foretype--timer) (cancel-timer foretype--timer))
      (when (and has-changed
                 (not buffer-read-only)
                 (not (equal foretype--dismissed (foretype--place)))
                 (not (memq this-command '(undo undo-only undo-redo))))
        (setq foretype--timer
              (run-with-timer foretype-delay nil #'foretype--ask (current-buffer)
                              foretype--tick))))))

(defun foretype--accept (part)
  "Put in PART, a function of what is left."
  (when-let* ((left (foretype--left)))
    (let ((text (funcall part left)))
      (undo-boundary)
      (when (string= text left) (delete-char (length foretype--over)))
      (insert text)
      (foretype--clear))))

(defun foretype-accept ()
  "Accept the suggestion."
  (interactive)
  (foretype--accept #'identity))

(defun foretype-accept-word ()
  "Accept a word of the suggestion."
  (interactive)
  (foretype--accept
   (lambda (left)
     (if (string-match "\\`[[:space:]\n]*\\(?:[[:alnum:]_]+\\|[^[:alnum:]_[:space:]]+\\)" left)
         (match-string 0 left)
       left))))

(defun foretype-accept-line ()
  "Accept a line of the suggestion."
  (interactive)
  (foretype--accept (lambda (left) (string-match "\\`\n?.*" left) (match-string 0 left))))

(defun foretype-next (&optional step)
  "Show the next suggestion, or the one STEP further."
  (interactive)
  (when foretype--items
    (setq foretype--index (mod (+ foretype--index (or step 1)) (length foretype--items)))
    (foretype--draw)))

(defun foretype-previous ()
  "Show the suggestion before this one."
  (interactive)
  (foretype-next -1))

(defun foretype-dismiss ()
  "Hide the suggestion until something changes."
  (interactive)
  (foretype--clear)
  (setq foretype--dismissed (foretype--place)))

;;;###autoload
(define-minor-mode foretype-mode
  "Show what foretype offers, in a buffer that eglot or lsp-mode manages."
  :lighter " ft"
  (if foretype-mode
      (progn
        (setq foretype--text-tick (buffer-chars-modified-tick))
        (add-hook 'post-command-hook #'foretype--after-command nil t)
        ;; The server may have come while something was typed.
        (add-hook 'eglot-managed-mode-hook #'foretype--managed nil t))
    (remove-hook 'eglot-managed-mode-hook #'foretype--managed t)
    (remove-hook 'post-command-hook #'foretype--after-command t)
    (foretype--clear)))

;;; Setting up

(defun foretype--lsp-managed ()
  "Show what is on offer in a buffer that lsp-mode opens in our server."
  (when (foretype--workspace)
    ;; Its own display would show everything a second time.
    (setq-local lsp-inline-completion-enable nil)
    (when (bound-and-true-p lsp-inline-completion-mode) (lsp-inline-completion-mode -1))
    (foretype-mode 1)
    (foretype--ask (current-buffer) (cl-incf foretype--tick))))

;;;###autoload
(defun foretype-lsp-setup ()
  "Make lsp-mode start foretype beside other servers, and `foretype-mode' with it."
  (with-eval-after-load 'lsp-mode
    (lsp-register-client
     (make-lsp-client :new-connection (lsp-stdio-connection (lambda () foretype-command))
                      :activation-fn (apply #'lsp-activate-on foretype-languages)
                      :initialization-options (lambda () foretype-settings)
                      :add-on? t
                      :server-id 'foretype))
    (add-hook 'lsp-after-open-hook #'foretype--lsp-managed)))

;;;###autoload
(defun foretype-eglot-ensure ()
  "Start foretype by eglot for this buffer's mode, and `foretype-mode' with it."
  (require 'eglot)
  (setq-local eglot-server-programs
              (list (cons major-mode
                          (if foretype-settings
                              (append foretype-command
                                      (list :initializationOptions foretype-settings))
                            foretype-command))))
  (eglot-ensure)
  (foretype-mode 1))

;;; Setting up everything at once

(defconst foretype--modes
  '(python-mode python-ts-mode js-mode js-ts-mode typescript-mode typescript-ts-mode tsx-ts-mode
    go-mode go-ts-mode rust-mode rust-ts-mode java-mode java-ts-mode
    c-mode c-ts-mode c++-mode c++-ts-mode)
  "Modes of `foretype-languages', those of other packages too.")

(defvar foretype--said nil "What was said once and is not said again.")

(defun foretype--say-once (text)
  "Show TEXT, the first time."
  (unless (member text foretype--said)
    (push text foretype--said)
    (message "foretype: %s" text)))

(defun foretype--has-client ()
  "Say whether the hooks of this buffer's mode start a language client."
  (let ((mode major-mode) (found nil))
    (while (and mode (not found))
      (let ((hook (intern-soft (format "%s-hook" mode))))
        (setq found (and hook (boundp hook)
                         (seq-intersection (ensure-list (symbol-value hook))
                                           '(eglot-ensure foretype-eglot-ensure lsp lsp-deferred)))
              mode (get mode 'derived-mode-parent))))
    (car found)))

(defun foretype--start-eglot ()
  "Start foretype by eglot in this buffer, unless that is another server's place."
  (cond ((not buffer-file-name))
        ((eq 'eglot-ensure (foretype--has-client))
         (foretype--say-once
          "eglot runs one server for a buffer, and another one here; (foretype-setup 'lsp-mode) runs both"))
        ((foretype--has-client))
        ((not (locate-library "eglot"))
         (foretype--say-once "needs eglot: M-x package-install RET eglot, or Emacs 29"))
        (t (foretype-eglot-ensure))))

(defun foretype--start-lsp ()
  "Start lsp-mode in this buffer, unless its mode's hooks do."
  (cond ((or (not buffer-file-name) (foretype--has-client)))
        ((fboundp 'lsp-deferred) (lsp-deferred))
        (t (foretype--say-once "needs lsp-mode: M-x package-install RET lsp-mode"))))

;;;###autoload
(defun foretype-setup (&optional client)
  "Show suggestions wherever there can be some.
CLIENT is `eglot', the default, or `lsp-mode'."
  (when (eq client 'lsp-mode) (foretype-lsp-setup))
  (dolist (mode foretype--modes)
    ;; Late: what else these hooks start comes first.
    (add-hook (intern (format "%s-hook" mode))
              (if (eq client 'lsp-mode) #'foretype--start-lsp #'foretype--start-eglot) 90)))

(provide 'foretype)
;;; foretype.el ends here
